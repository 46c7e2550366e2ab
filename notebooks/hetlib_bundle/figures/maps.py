"""A scene beside its reference and its predicted land cover."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hetlib_bundle.figures.pieces import hide_frame
from hetlib_bundle.figures.style import figure_width, ieee_style, new_figure
from hetlib_bundle.studies.maps import Scene, class_colours

Box = tuple[slice, slice]  # rows and columns

NO_LABEL = "#F2F2F2"  # the ground of a map


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
        _draw_class_legend(figure, scene, palette)
        return figure


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
    size = {"ncols": len(handles), "handlelength": 1, "columnspacing": 0.9}
    figure.legend(handles=handles, loc="outside lower center", **size)
