"""A scene beside its reference and its predicted land cover."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from hetlib_bundle.figures.pieces import hide_frame
from hetlib_bundle.figures.style import GREY, Look, figure_width, ieee_style, new_figure
from hetlib_bundle.studies.maps import Scene, class_colours

Box = tuple[slice, slice]  # rows and columns

NO_LABEL = "#F2F2F2"  # the ground of a map

# Longest bar of a scale, as a part of a map's width, and what its length begins with.
LONGEST_BAR = 0.3
ROUND = (5, 2, 1)


class _Palette(NamedTuple):
    """The colours of a map, by class number."""

    shades: dict[int, str]
    colours: ListedColormap
    norm: BoundaryNorm


def land_cover_figure(scene: Scene, predicted: np.ndarray) -> Figure:
    """Draw a scene, its reference and its predicted land cover side by side.

    Args:
        scene: With its reference.
        predicted: Class numbers, (height, width), 0 where there is no prediction; only what lies
            in the box around the others is drawn.
    """
    palette = _palette(scene)
    known = predicted > 0
    box = _box_around(known)
    height, width = predicted[box].shape

    with ieee_style(2):
        figure = new_figure(0.6 + (figure_width() - 0.2) / 3 * (height / width))
        image, reference, prediction = figure.subplots(1, 3)
        _draw_image(image, scene.rgb(), known, box)
        _draw_codes(reference, "reference", _both(scene.codes, predicted)[box], palette)
        _draw_codes(prediction, "prediction", _both(predicted, predicted)[box], palette)
        for axes in (image, reference, prediction):
            hide_frame(axes)
        _draw_scale(image, metres_of_pixel(scene.grid), width)
        _draw_class_legend(figure, scene, palette)
        return figure


def metres_of_pixel(grid: Mapping[str, Any]) -> float | None:
    """Return the width of a pixel on the ground.

    Args:
        grid: Of a scene, with ``crs`` and ``transform``.

    Returns:
        Metres; None where the scene has no place, or one in degrees.
    """
    crs = grid.get("crs")
    if crs is None or not crs.is_projected:
        return None
    _, factor = crs.linear_units_factor
    return abs(grid["transform"].a) * factor


def round_length(most: float) -> float:
    """Return the greatest length of 1, 2 or 5 times a power of ten that is not above another.

    Args:
        most: The other, above 0.
    """
    power = 10.0 ** math.floor(math.log10(most))
    return next(first * power for first in ROUND if first * power <= most)


def _draw_scale(axes: Axes, metres: float | None, width: int) -> None:
    """Draw a bar of a round length on the ground, if that is known."""
    if metres is None:
        return
    length = round_length(LONGEST_BAR * width * metres)
    name = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    look: Look = {"size_vertical": width / 150, "pad": 0.3, "borderpad": 0.4, "sep": 2}
    bar = AnchoredSizeBar(axes.transData, length / metres, name, "lower left", **look)
    bar.patch.set(linewidth=0, alpha=0.85)
    axes.add_artist(bar)


def _palette(scene: Scene) -> _Palette:
    rgba = class_colours(scene.classes)
    shades = {}
    for number in scene.classes:
        red, green, blue, _ = rgba[number]
        shades[number] = f"#{red:02x}{green:02x}{blue:02x}"

    colours = ListedColormap(list(shades.values()))
    below = np.array(list(scene.classes)) - 0.5
    bounds = np.append(below, max(scene.classes) + 0.5)
    return _Palette(shades, colours, BoundaryNorm(bounds, colours.N))


def _box_around(shown: np.ndarray) -> Box:
    """Return the rows and columns from the first to the last that are shown anywhere."""
    rows = np.flatnonzero(shown.any(axis=1))
    columns = np.flatnonzero(shown.any(axis=0))
    high = slice(rows[0], rows[-1] + 1)
    wide = slice(columns[0], columns[-1] + 1)
    return high, wide


def _both(codes: np.ndarray, predicted: np.ndarray) -> np.ma.MaskedArray:
    """Return class numbers where there are both one and a prediction."""
    nothing = (codes == 0) | (predicted == 0)
    return np.ma.masked_where(nothing, codes)


def _draw_image(axes: Axes, image: np.ndarray, known: np.ndarray, box: Box) -> None:
    """Draw what lies in the box, pale where there is no prediction."""
    pale = 0.6 + 0.4 * image
    shown = np.where(known[..., None], image, pale)
    axes.imshow(shown[box], interpolation="nearest")
    axes.set_title("image")


def _draw_codes(axes: Axes, title: str, codes: np.ndarray, palette: _Palette) -> None:
    axes.set_title(title)
    axes.set_facecolor(NO_LABEL)
    axes.imshow(codes, cmap=palette.colours, norm=palette.norm, interpolation="nearest")


def _draw_class_legend(figure: Figure, scene: Scene, palette: _Palette) -> None:
    handles = []
    for number, name in scene.classes.items():
        handles.append(Patch(color=palette.shades[number], label=name))
    nothing: Look = {"facecolor": NO_LABEL, "edgecolor": GREY, "linewidth": 0.4}
    handles.append(Patch(**nothing, label="none"))
    size = {"ncols": len(handles), "handlelength": 1, "columnspacing": 0.9}
    figure.legend(handles=handles, loc="outside lower center", **size)
