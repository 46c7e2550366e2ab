"""A trained network with all that a map needs of its training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hetlib.training.experiment import Experiment
from hetlib.training.opening import Data, build_network, open_split
from hetlib.training.records import RunRecord


@dataclass(frozen=True)
class TrainedNetwork:
    """A network, and what its images were in training.

    Attributes:
        network: From ``(n, bands, height, width)`` to ``(n, classes)``.
        name: What it is called.
        bands: Names of the bands that it takes.
        mean: Of each band in training, (bands,) float32.
        std: Its deviation, (bands,) float32.
        window: Height and width of an image.
        classes: Names by class number, in the order of the outputs.
        valid_range: Lowest and highest value that is data; None is no limit.
        transforms: Applied to each image before it is standardised; None: nothing.
        about: Tags that say where it comes from.
    """

    network: nn.Module
    name: str
    bands: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    window: tuple[int, int]
    classes: dict[int, str]
    valid_range: Any = None
    transforms: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None
    about: Mapping[str, str] = field(default_factory=dict)


def network_of(record: RunRecord) -> TrainedNetwork:
    """Return the network that a run has trained.

    Args:
        record: Of `train` with ``keep_weights=True``.

    Raises:
        ValueError: It has no weights, or its data have changed since.
    """
    if record.weights is None:
        raise ValueError(
            "`network` is a record without weights; train with `keep_weights=True`, and give the "
            "record that `train` returns."
        )
    experiment = Experiment(**record.experiment)
    data = open_split(experiment, "train")
    if data.checksum != record.dataset["checksum"]:
        raise ValueError(
            f"`network` was trained on other files of {record.data_name}: they have changed since; "
            "train again."
        )
    network = build_network(experiment, data).to(experiment.torch_dtype)
    weights = {name: torch.from_numpy(value) for name, value in record.weights.items()}
    network.load_state_dict(weights)
    about = {
        "TRAINED_ON": record.data_name,
        "TRAINED_ON_SHA256": data.checksum,
        "RUN": record.fingerprint,
    }
    return _described(network, experiment.model_name, data, None, about)


def network_on(
    network: nn.Module, data: Data, classes: Mapping[int, str] | None = None
) -> TrainedNetwork:
    """Return a network with what it learnt from.

    Args:
        network: Trained on the data, standardised as ``data.gather`` does.
        data: Its training split.
        classes: Names by class number, in the order of the outputs; None: those of the data.

    Raises:
        ValueError: There are more or fewer classes than the data have.
    """
    if classes is not None and len(classes) != len(data.classes):
        raise ValueError(
            f"`classes` has {len(classes)} names, and `data` has {len(data.classes)} classes; give "
            "one for each, in the order of the network's outputs."
        )
    about = {"TRAINED_ON": _name_of(data), "TRAINED_ON_SHA256": data.checksum}
    return _described(network, type(network).__name__, data, classes, about)


def _described(
    network: nn.Module,
    name: str,
    data: Data,
    classes: Mapping[int, str] | None,
    about: Mapping[str, str],
) -> TrainedNetwork:
    numbers = getattr(data, "numbers", None) or range(1, len(data.classes) + 1)
    named = dict(zip(numbers, data.classes, strict=True))
    if classes is not None:
        named = {int(number): str(text) for number, text in classes.items()}
    _, height, width = data.image_shape
    return TrainedNetwork(
        network=network,
        name=name,
        bands=tuple(data.bands),
        mean=data.mean,
        std=data.std,
        window=(height, width),
        classes=named,
        valid_range=getattr(data, "valid_range", None),
        transforms=getattr(data, "transforms", None),
        about=about,
    )


def _name_of(data: Data) -> str:
    """Return what a data set is called: by its file where it has one, else by its class."""
    source = getattr(data, "source", None)
    if source is None:
        return type(data).__name__
    return Path(source).stem
