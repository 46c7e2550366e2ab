"""Data sets of images as figures: samples, splits, spectra."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from hetlib.datasets.images import ImageDataset
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.plotting import three_bands
from hetlib_bundle.figures.pieces import hide_frame, legend_above, panels_in_a_row
from hetlib_bundle.figures.style import (
    BLUE,
    ORANGE,
    VERMILION,
    Look,
    figure_width,
    ieee_style,
    new_figure,
)
from hetlib_bundle.studies.maps import COLOURS, Scene

SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": VERMILION}

# Percentiles of the shown values that become black and white: clouds would leave the rest dark.
STRETCH = (1, 96)
GAMMA = 0.7  # brightens the middle

CLASS_MARKERS = "osD^vPX<>*"

MANY_BANDS = 8  # more names than these do not fit beside each other, so they are turned
BEHIND_B08 = 8.5  # where Sentinel-2's B8A lies by its wavelength


def samples_figure(datasets: Mapping[str, ImageDataset], rows: int = 2) -> Figure:
    """Draw some images of every class, a block a data set.

    Args:
        datasets: By name. Each band is stretched over all images that are shown of a data set.
        rows: Images of each class.
    """
    columns = max(len(data.classes) for data in datasets.values())
    with ieee_style(2):
        figure = new_figure((rows * figure_width() / columns + 0.42) * len(datasets))
        parts = figure.subfigures(len(datasets), 1, squeeze=False)[:, 0]
        for part, (name, data) in zip(parts, datasets.items(), strict=True):
            _, height, width = data.image_shape
            title = f"{name}, {height} x {width} pixels"
            part.suptitle(title, fontsize=8, x=0.01, ha="left")
            _draw_samples(part, data, rows, columns)
        return figure


def _draw_samples(part: SubFigure, data: ImageDataset, rows: int, columns: int) -> None:
    """Draw a column a class, with the class's name above it."""
    panels = part.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()

    chosen = []
    for label in range(len(data.classes)):
        of_class = np.flatnonzero(data.labels == label)
        chosen.append(_spread(of_class, rows))
    every = np.concatenate(chosen)
    images = dict(zip(every, _natural_colour(data, every), strict=True))

    for column, indices in enumerate(chosen):
        panels[0, column].set_title(_broken(data.classes[column]), fontsize=7)
        for axes, index in zip(panels[:, column], indices, strict=False):
            axes.imshow(images[index], interpolation="nearest")


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Return some indices from all over: neighbours in a data set often show the same place."""
    places = np.linspace(0, len(indices) - 1, count + 2).astype(int)
    inner = indices[places[1:-1]]
    return np.unique(inner)


def _natural_colour(data: ImageDataset, indices: np.ndarray) -> np.ndarray:
    """Return images in natural colour, (n, height, width, 3) in 0..1."""
    images, _ = data.gather(indices, standardise=False)
    values = images[:, three_bands(data.bands)].numpy()
    values = values.transpose(0, 2, 3, 1)
    low, high = np.percentile(values, STRETCH, axis=(0, 1, 2))
    span = np.maximum(high - low, 1e-6)
    stretched = (values - low) / span
    return np.clip(stretched, 0, 1) ** GAMMA


def _broken(name: str) -> str:
    """Break a class name such as HerbaceousVegetation, so that it fits over its images."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name)


def splits_figure(
    scenes: Sequence[Scene],
    datasets: Sequence[Mapping[str, LandCoverScene]],
) -> Figure:
    """Draw where the splits lie on each scene.

    A tint is where windows may be centred; dots are the windows' centres.

    Args:
        scenes: Side by side.
        datasets: Of each scene, by split.
    """
    shapes = [scene.zones.shape for scene in scenes]
    ratios = [width / height for height, width in shapes]
    with ieee_style(2):
        figure = new_figure(0.5 + (figure_width() - 0.3) / sum(ratios))
        panels = panels_in_a_row(figure, len(scenes), width_ratios=ratios)
        for axes, scene, splits in zip(panels, scenes, datasets, strict=True):
            _draw_zones(axes, scene)
            _draw_centres(axes, splits)
            hide_frame(axes)
            height, width = scene.zones.shape
            axes.set_title(f"{scene.name}, {height} x {width} pixels", loc="left")

        entries = {split: Patch(color=colour) for split, colour in SPLIT_COLOURS.items()}
        legend_above(figure, 3, entries)
        return figure


def _draw_zones(axes: Axes, scene: Scene) -> None:
    """Draw the pale scene under the tints of its splits."""
    axes.imshow(0.5 + 0.5 * scene.rgb(), interpolation="nearest")
    zones = np.ma.masked_less(scene.zones, 0)
    colours = ListedColormap(list(SPLIT_COLOURS.values()))
    axes.imshow(
        zones,
        cmap=colours,
        vmin=-0.5,
        vmax=len(SPLIT_COLOURS) - 0.5,
        alpha=0.35,
        interpolation="nearest",
    )


def _draw_centres(axes: Axes, splits: Mapping[str, LandCoverScene]) -> None:
    dot: Look = {"markersize": 1, "markeredgewidth": 0, "rasterized": True}
    for split, data in splits.items():
        rows, columns = data.centres.T
        axes.plot(columns, rows, ".", color=SPLIT_COLOURS[split], **dot)


def spectra_figure(datasets: Mapping[str, ImageDataset], units: Mapping[str, str]) -> Figure:
    """Draw the mean spectrum of the windows' centre pixels by class.

    Args:
        datasets: By name, a panel each.
        units: Of the values, by data set; ``"Value"`` where there is none.
    """
    with ieee_style(2):
        figure = new_figure(2.7)
        panels = panels_in_a_row(figure, len(datasets))
        for axes, (name, data) in zip(panels, datasets.items(), strict=True):
            _draw_spectra(axes, data)
            axes.set_xlabel("Band")
            axes.set_ylabel(units.get(name, "Value"))
            axes.set_ylim(0, None)
            axes.set_title(name)
            axes.grid(axis="y")
            axes.legend(fontsize=6.5, ncols=2, handlelength=1.6)
        return figure


def _draw_spectra(axes: Axes, data: ImageDataset) -> None:
    """Draw a line a class over the bands, by rising wavelength."""
    images, _ = data.gather(np.arange(len(data)), standardise=False)
    middle = data.image_shape[1] // 2
    values = images[:, :, middle, middle].numpy()  # (n, bands)

    bands = sorted(data.bands, key=_wavelength)
    order = [data.bands.index(band) for band in bands]
    markers = itertools.cycle(CLASS_MARKERS)
    colours = _line_colours(data.classes)
    for label, known in enumerate(data.classes):
        mean = values[data.labels == label].mean(0)
        look = {"color": next(colours), "marker": next(markers), "markersize": 3}
        axes.plot(mean[order], label=known, **look)

    turn = 0
    if len(bands) > MANY_BANDS:
        turn = 60
    axes.set_xticks(range(len(bands)), bands, rotation=turn)


def _line_colours(classes: Sequence[str]) -> Iterator[Any]:
    """Give each class its colour on maps, or else a spare one."""
    spare = itertools.cycle(mpl.color_sequences["tab10"])
    for name in classes:
        if name in COLOURS:
            yield COLOURS[name]
        else:
            yield next(spare)


def _wavelength(band: str) -> float:
    """Sort Sentinel-2's B8A behind B08; other bands keep their order by number."""
    if band == "B8A":
        return BEHIND_B08
    number = re.search(r"\d+", band)
    if number is None:
        return 0.0
    return float(number[0])
