"""Scenes and their windows as figures: samples, splits, spectra, and maps beside their reference."""

import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from hetlib.datasets.images import ImageDataset
from hetlib_bundle.figures.style import ieee_style, new_figure
from hetlib_bundle.studies.maps import COLOURS, Scene, class_colours, colour_bands

SPLIT_COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#D55E00"}


def samples_figure(datasets: Mapping[str, ImageDataset], rows: int = 2) -> Figure:
    """Draw some images of every class, a block a data set; each band is stretched over all that are shown."""
    columns = max(len(data.classes) for data in datasets.values())
    with ieee_style(2):
        width = mpl.rcParams["figure.figsize"][0]
        figure = new_figure((rows * width / columns + 0.42) * len(datasets))
        parts = figure.subfigures(len(datasets), 1, squeeze=False)[:, 0]
        for part, (name, data) in zip(parts, datasets.items(), strict=True):
            size = f"{data.image_shape[1]} x {data.image_shape[2]} pixels"
            part.suptitle(f"{name}, {size}", fontsize=8, x=0.01, ha="left")
            panels = part.subplots(rows, columns, squeeze=False)
            chosen = [
                _spread(np.flatnonzero(data.labels == label), rows)
                for label in range(len(data.classes))
            ]
            images = dict(zip(np.concatenate(chosen), _colours(data, chosen), strict=True))
            for axes in panels.flat:
                axes.set_axis_off()
            for column, indices in enumerate(chosen):
                panels[0, column].set_title(_broken(data.classes[column]), fontsize=7)
                for axes, index in zip(panels[:, column], indices, strict=False):
                    axes.imshow(images[index], interpolation="nearest")
        return figure


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """Return some indices from all over: neighbours in a data set often show the same place."""
    return np.unique(indices[np.linspace(0, len(indices) - 1, count + 2).astype(int)[1:-1]])


def _colours(data: ImageDataset, chosen: Sequence[np.ndarray]) -> np.ndarray:
    """Return images in natural colour, (n, height, width, 3) in 0..1."""
    images, _ = data.gather(np.concatenate(chosen), standardise=False)
    values = images[:, colour_bands(data.bands)].numpy().transpose(0, 2, 3, 1)
    low, high = np.percentile(values, (1, 96), axis=(0, 1, 2))
    # clouds would leave the rest dark
    return np.clip((values - low) / np.maximum(high - low, 1e-6), 0, 1) ** 0.7


def _broken(name: str) -> str:
    """Break a class name such as HerbaceousVegetation, so that it fits over its images."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name)


def splits_figure(
    scenes: Sequence[Scene], datasets: Sequence[Mapping[str, ImageDataset]]
) -> Figure:
    """Draw where the splits lie on each scene (tint: where windows may be centred; dots: the windows' centres)."""
    ratios = [scene.zones.shape[1] / scene.zones.shape[0] for scene in scenes]
    with ieee_style(2):
        figure = new_figure(0.5 + (mpl.rcParams["figure.figsize"][0] - 0.3) / sum(ratios))
        panels = np.atleast_1d(figure.subplots(1, len(scenes), width_ratios=ratios))
        for axes, scene, splits in zip(panels, scenes, datasets, strict=True):
            axes.imshow(0.5 + 0.5 * scene.rgb(), interpolation="nearest")
            colours = ListedColormap(list(SPLIT_COLOURS.values()))
            shown = np.ma.masked_less(scene.zones, 0)
            axes.imshow(
                shown, cmap=colours, vmin=-0.5, vmax=2.5, alpha=0.35, interpolation="nearest"
            )
            for split, data in splits.items():
                rows, columns = data.centres.T  # type: ignore[attr-defined]
                look = {
                    "color": SPLIT_COLOURS[split],
                    "markersize": 1,
                    "markeredgewidth": 0,
                    "rasterized": True,
                }
                axes.plot(columns, rows, ".", **look)
            axes.set(xticks=[], yticks=[])
            axes.set_title(
                f"{scene.name}, {scene.zones.shape[0]} x {scene.zones.shape[1]} pixels", loc="left"
            )
            axes.spines[:].set_visible(False)
        handles = [Patch(color=colour, label=split) for split, colour in SPLIT_COLOURS.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
        return figure


def spectra_figure(datasets: Mapping[str, ImageDataset], units: Mapping[str, str]) -> Figure:
    """Draw the mean spectrum of the windows' centre pixels by class, a panel a data set, with its unit."""
    with ieee_style(2):
        figure = new_figure(2.7)
        panels = np.atleast_1d(figure.subplots(1, len(datasets)))
        for axes, (name, data) in zip(panels, datasets.items(), strict=True):
            middle = data.image_shape[1] // 2
            values = data.gather(np.arange(len(data)), standardise=False)[0][
                :, :, middle, middle
            ].numpy()
            order = [data.bands.index(band) for band in sorted(data.bands, key=_wavelength)]
            spare = iter(mpl.color_sequences["tab10"])
            for label, known in enumerate(data.classes):
                look = {
                    "color": COLOURS.get(known) or next(spare),
                    "marker": "osD^vPX<>*"[label % 10],
                    "markersize": 3,
                }
                axes.plot(values[data.labels == label].mean(0)[order], label=known, **look)
            axes.set_xticks(
                range(len(order)),
                [data.bands[i] for i in order],
                rotation=60 if len(order) > 8 else 0,
            )
            axes.set(xlabel="Band", ylabel=units.get(name, "Value"), ylim=(0, None), title=name)
            axes.grid(axis="y")
            axes.legend(fontsize=6.5, ncols=2, handlelength=1.6)
        return figure


def _wavelength(band: str) -> float:
    """Sort Sentinel-2's B8A behind B08; other bands keep their order by number."""
    number = re.search(r"\d+", band)
    return 8.5 if band == "B8A" else float(number[0]) if number else 0.0


def land_cover_figure(scene: Scene, predicted: np.ndarray) -> Figure:
    """Draw a scene, its reference and its predicted land cover side by side, where there is a prediction."""
    colours = class_colours(scene.classes)
    shades = {
        number: "#{:02x}{:02x}{:02x}".format(*colours[number][:3]) for number in scene.classes
    }
    palette = ListedColormap(list(shades.values()))
    norm = BoundaryNorm(
        np.append(np.array(list(scene.classes)) - 0.5, max(scene.classes) + 0.5), palette.N
    )
    rows, columns = (np.flatnonzero((predicted > 0).any(axis)) for axis in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    tall = predicted[box].shape[0] / predicted[box].shape[1]
    with ieee_style(2):
        width = mpl.rcParams["figure.figsize"][0]
        figure = new_figure(0.6 + (width - 0.2) / 3 * tall)
        shown = {"image": scene.rgb(), "reference": scene.codes, "prediction": predicted}
        for axes, (title, layer) in zip(figure.subplots(1, 3), shown.items(), strict=True):
            if title == "image":
                pale = np.where((predicted > 0)[..., None], layer, 0.6 + 0.4 * layer)
                axes.imshow(pale[box], interpolation="nearest")
            else:
                masked = np.ma.masked_where((layer == 0) | (predicted == 0), layer)[box]
                axes.set_facecolor("#F2F2F2")
                axes.imshow(masked, cmap=palette, norm=norm, interpolation="nearest")
            axes.set(xticks=[], yticks=[], title=title)
            axes.spines[:].set_visible(False)
        handles = [
            Patch(color=shades[number], label=name) for number, name in scene.classes.items()
        ]
        look = {"ncols": len(handles), "handlelength": 1, "columnspacing": 0.9}
        figure.legend(handles=handles, loc="outside lower center", **look)
        return figure
