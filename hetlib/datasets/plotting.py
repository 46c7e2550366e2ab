"""A sample as a picture, as torchgeo's data sets have it: ``dataset.plot(dataset[0])``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hetlib.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Red, green and blue by the words that stand in bands' names, and by the numbers that the bands of
# Sentinel-2 and of AVIRIS' 224 channels have.
COLOURS = (
    ("red", "green", "blue"),
    ("B04", "B03", "B02"),
    ("B4", "B3", "B2"),
    ("B027", "B016", "B007"),
)

# Percentiles of a sample's values that become black and white.
DARK = 2
BRIGHT = 98

# Inches.
SIDE = 4


def plot_sample(
    sample: Mapping[str, Any],
    bands: Sequence[str],
    classes: Sequence[str],
    *,
    show_titles: bool = True,
    suptitle: str | None = None,
) -> "Figure":
    """Draw a sample: three bands as red, green and blue; or one pixel's values over the bands.

    Args:
        sample: ``{"image": (bands, height, width), "label": its class}``, and ``"prediction"``
            where there is one; standardised or transformed ones too.
        bands: The bands' names.
        classes: The classes' names.
        show_titles: Write class and bands above.
        suptitle: A title of one's own.

    Returns:
        The figure.

    Raises:
        ValueError: The image is not one of (bands, height, width).
    """
    image = np.asarray(sample["image"].detach().cpu(), dtype=np.float64)
    if image.ndim != 3:
        raise ValueError(
            f"`sample['image']` must be (bands, height, width), got {image.shape}; of a batch, "
            "give one sample."
        )
    pyplot = require("matplotlib.pyplot", "notebooks")
    figure, axes = pyplot.subplots(figsize=(SIDE, SIDE), layout="constrained")
    if image.shape[1:] == (1, 1):
        drawn = draw_spectrum(axes, image[:, 0, 0])
    else:
        drawn = draw_picture(axes, image, bands)
    if show_titles:
        axes.set_title("\n".join([*names_of_classes(sample, classes), drawn]), fontsize="medium")
    if suptitle is not None:
        figure.suptitle(suptitle)
    return figure


def draw_spectrum(axes: Any, values: np.ndarray) -> str:
    """Draw the values of one pixel over the bands.

    Args:
        axes: To draw into.
        values: (bands,).

    Returns:
        What is drawn, in words.
    """
    axes.plot(np.arange(1, len(values) + 1), values)
    axes.set_xlabel("Band, counted from 1")
    axes.set_ylabel("Value")
    return f"one pixel, {len(values)} bands"


def draw_picture(axes: Any, image: np.ndarray, bands: Sequence[str]) -> str:
    """Draw three bands in colours, or one in grey.

    Args:
        axes: To draw into.
        image: (bands, height, width).
        bands: The bands' names.

    Returns:
        What is drawn, in words.
    """
    chosen = colour_bands(bands[: len(image)])
    layers = [stretched(image[k]) for k in chosen]
    axes.axis("off")
    names = [bands[k] for k in chosen]
    if len(layers) == 1:
        axes.imshow(layers[0], cmap="gray", vmin=0, vmax=1)
        return f"grey: {names[0]}"
    axes.imshow(np.stack(layers, axis=-1))
    return f"R, G, B: {', '.join(names)}"


def colour_bands(bands: Sequence[str]) -> list[int]:
    """Return which bands are red, green and blue; the first ones where names do not tell.

    Args:
        bands: The bands' names.

    Returns:
        Positions of three bands; of one where there are fewer than three.
    """
    for words in COLOURS:
        found = [place_of(word, bands) for word in words]
        places = [place for place in found if place is not None]
        if len(places) == len(words):
            return places
    if len(bands) < 3:
        return [0]
    return [0, 1, 2]


def three_bands(bands: Sequence[str]) -> list[int]:
    """Return which bands are shown as red, green and blue: `colour_bands`, or one for all three.

    Args:
        bands: The bands' names.
    """
    chosen = colour_bands(bands)
    return chosen if len(chosen) == 3 else 3 * chosen


def place_of(word: str, bands: Sequence[str]) -> int | None:
    """Return the position of a colour among bands, None where there is none.

    Args:
        word: The band's name, or a part of it between other signs than letters.
        bands: The bands' names.
    """
    for place, name in enumerate(bands):
        parts = "".join(sign if sign.isalnum() else " " for sign in name.lower()).split()
        if word.lower() in parts:
            return place
    return None


def stretched(layer: np.ndarray) -> np.ndarray:
    """Bring most values of a band between 0 and 1; a constant band and missing values are grey.

    Args:
        layer: (height, width).

    Returns:
        (height, width) within 0 and 1.
    """
    finite = np.isfinite(layer)
    out = np.full(layer.shape, 0.5)
    if not finite.any():
        return out
    low, high = np.percentile(layer[finite], (DARK, BRIGHT))
    if high > low:
        scaled = (layer[finite] - low) / (high - low)
        out[finite] = np.clip(scaled, 0, 1)
    return out


def names_of_classes(sample: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """Return a line for the class, and one for the prediction where there is one.

    Args:
        sample: As for `plot_sample`.
        classes: The classes' names.
    """
    lines = []
    for key in ("label", "prediction"):
        if key in sample:
            lines.append(f"{key.capitalize()}: {classes[int(sample[key])]}")
    return lines
