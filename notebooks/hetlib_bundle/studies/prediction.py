"""What a network says of every pixel of a scene, and how right it is."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from hetlib.datasets import ImageDataset
from hetlib.datasets.splits import SPLITS
from hetlib.training.evaluation import confusion_matrix, scores
from hetlib_bundle.studies.maps import Scene

BATCH = 1024  # windows that go through the network at once

SCORES = ("oa", "aa", "kappa")


def predict(
    network: nn.Module,
    data: ImageDataset,
    scene: Scene,
    *,
    split: str = "test",
    stride: int = 1,
) -> np.ndarray:
    """Predict the pixels of one split of a scene.

    A pixel is predicted from the window around it, where that lies within the split and the pixel
    has data in every band; windows are standardised as the network saw them in training.

    Args:
        network: Trained network, in evaluation mode afterwards.
        data: The data set it was trained on, for the bands' mean and deviation.
        scene: The same data set's scene.
        split: Name of the split.
        stride: Pixels between predicted ones; 3 predicts the middle of each square of 3 x 3 for all
            of it.

    Returns:
        Class numbers (height, width) uint8, 0 where nothing is predicted.

    Raises:
        ValueError: A stride below 1.
    """
    if stride < 1:
        raise ValueError(f"`stride` is {stride}; it must be 1 or more.")
    inside = scene.zones == SPLITS.index(split)
    wanted = inside & scene.valid.all(2)
    middle = stride // 2
    picked = np.nonzero(wanted[middle::stride, middle::stride])
    rows, columns = (middle + stride * each for each in picked)
    numbers = np.array(list(scene.classes), dtype=np.uint8)
    found = np.zeros(wanted.shape, dtype=np.uint8)
    network.eval()
    with torch.inference_mode():
        for r, c, images in _batches(data, scene, rows, columns):
            outputs = network(images).argmax(1)
            found[r, c] = numbers[outputs.numpy()]
    filled = _squares(found, stride)
    return np.where(wanted, filled, 0).astype(np.uint8)


class _Windows(NamedTuple):
    """Some pixels and the windows around them.

    Attributes:
        rows: (n,).
        columns: (n,).
        images: (n, bands, window, window), channels last in memory.
    """

    rows: np.ndarray
    columns: np.ndarray
    images: torch.Tensor


def _batches(
    data: ImageDataset,
    scene: Scene,
    rows: np.ndarray,
    columns: np.ndarray,
) -> Iterator[_Windows]:
    """Yield some pixels in batches, with their windows as the network saw them in training."""
    values = (scene.pixels.astype(np.float32) - data.mean) / data.std
    values[~scene.valid] = 0
    window = (scene.window, scene.window)
    views = np.lib.stride_tricks.sliding_window_view(values, window, axis=(0, 1))
    half = scene.window // 2
    for start in range(0, len(rows), BATCH):
        r = rows[start : start + BATCH]
        c = columns[start : start + BATCH]
        cut = views[r - half, c - half]  # (n, bands, window, window)
        last = np.ascontiguousarray(cut.transpose(0, 2, 3, 1))
        images = torch.from_numpy(last).permute(0, 3, 1, 2)
        yield _Windows(r, c, images)


def _squares(found: np.ndarray, stride: int) -> np.ndarray:
    """Fill each square of ``stride`` pixels with its middle; what is left at the edges is 0."""
    middle = stride // 2
    middles = found[middle::stride, middle::stride]
    blocks = middles.repeat(stride, axis=0).repeat(stride, axis=1)
    height = min(found.shape[0], blocks.shape[0])
    width = min(found.shape[1], blocks.shape[1])
    filled = np.zeros_like(found)
    filled[:height, :width] = blocks[:height, :width]
    return filled


def confusion(predicted: np.ndarray, scene: Scene) -> np.ndarray:
    """Count pixels that have both a reference and a prediction.

    Args:
        predicted: Class numbers, (height, width), 0 where nothing is predicted.
        scene: With the reference.

    Returns:
        (true, predicted) counts, (classes, classes).
    """
    both = (predicted > 0) & (scene.codes > 0)
    order = np.zeros(max(scene.classes) + 1, dtype=np.int64)
    order[list(scene.classes)] = np.arange(len(scene.classes))
    true = torch.from_numpy(order[scene.codes[both]])
    said = torch.from_numpy(order[predicted[both]])
    return confusion_matrix(true, said, len(scene.classes)).numpy()


def mistakes(predicted: np.ndarray, scene: Scene) -> pd.DataFrame:
    """Return which class is drawn as which other one, the most pixels first.

    Args:
        predicted: Class numbers, (height, width), 0 where nothing is predicted.
        scene: With the reference.

    Returns:
        ``true``, ``drawn``, ``pixels``, and ``part``: these over all pixels of the true class.
    """
    counts = confusion(predicted, scene)
    names = list(scene.classes.values())
    rows = []
    for i, true in enumerate(names):
        for j, drawn in enumerate(names):
            pixels = int(counts[i, j])
            if i != j and pixels:
                part = pixels / counts[i].sum()
                rows.append({"true": true, "drawn": drawn, "pixels": pixels, "part": part})
    table = pd.DataFrame(rows, columns=["true", "drawn", "pixels", "part"])
    return table.sort_values("pixels", ascending=False, ignore_index=True)


def score_row(
    predicted: np.ndarray,
    scene: Scene,
    windows: Mapping[str, float],
) -> dict[str, Any]:
    """Return one row of the table of scores: on the map, of its commonest class, on the windows.

    Args:
        predicted: Class numbers, (height, width), 0 where nothing is predicted.
        scene: With the reference.
        windows: Scores of the same network on the test windows.
    """
    counts = confusion(predicted, scene)
    on_map = scores(counts)
    row = {
        "dataset": scene.name,
        "pixels predicted": int((predicted > 0).sum()),
        "with reference": int(counts.sum()),
    }
    for score in SCORES:
        row[f"{score} (map)"] = on_map[score]
    row["commonest class"] = counts.sum(1).max() / counts.sum()
    for score in SCORES:
        row[f"{score} (windows)"] = windows[score]
    return row
