"""What an experiment names, opened and built before anything is planned or started."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from hetlib.datasets.augment import check_augment, mirror_and_turn, ways_of
from hetlib.datasets.catalog import load_dataset
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.objects import OwnDataset
from hetlib.datasets.samples import gather_items
from hetlib.datasets.survey import Survey
from hetlib.datasets.types import Batch
from hetlib.models.registry import MODELS, build_with, depends_on_batch
from hetlib.owncode import look_in, search_folders
from hetlib.training.experiment import Experiment

# One split of labelled images: of ours, or of the reader's own.
Data = ImageDataset | OwnDataset

# Images that a network is tried on.
_TRIED = 2


@dataclass(frozen=True)
class Found:
    """What the process that leads has found, for those that open the same.

    Attributes:
        survey: Of code of the reader's: of the pass over its samples.
        folders: Where modules are looked for.
    """

    survey: Survey | None = None
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """An experiment's data and network, as they were found to fit each other.

    Attributes:
        data: What is learnt from.
        held_out: What is evaluated on.
        found: For the processes that open the same.
        depends: Whether the network's outputs for a sample depend on the samples beside it.
    """

    data: Data
    held_out: Data
    found: Found
    depends: bool


@dataclass(frozen=True)
class Reader:
    """Reads batches of a split, augmented where that is asked for.

    Attributes:
        data: The split.
        augment: Name of the augmentation; None: none.
        seed: Of all random draws.
    """

    data: Data
    augment: str | None = None
    seed: int = 0

    def __call__(self, indices: Sequence[int] | np.ndarray, epoch: int) -> Batch:
        """Read images and labels.

        Args:
            indices: Positions in the split, (n,).
            epoch: From 0; random draws are of seed, epoch and position.

        Returns:
            Standardised images (n, bands, height, width) float32, and labels (n,) int64.
        """
        data = self.data
        if isinstance(data, OwnDataset) or data.transforms is not None:
            images, labels = gather_items(data, indices, seed=self.seed, epoch=epoch)
        else:
            images, labels = data.gather(indices)
        if self.augment is not None:
            ways = ways_of(self.augment, samples=len(data), seed=self.seed, epoch=epoch)
            images = mirror_and_turn(images, ways[np.asarray(indices)])
        return images, labels


def open_experiment(experiment: Experiment) -> Opened:
    """Open an experiment's data, and build its network once: what is wrong is said now.

    Args:
        experiment: Names both.

    Returns:
        The data, and what was found out.

    Raises:
        ValueError: The data or the network cannot be had, or do not fit each other.
        DatasetNotFoundError: The data set's files are not there.
    """
    data = open_split(experiment, "train")
    found = Found(folders=search_folders())
    if isinstance(data, OwnDataset):
        found = replace(found, survey=data.survey)
    held_out = open_split(experiment, experiment.evaluate_split, found)
    check_augment(experiment.augment, data.image_shape)
    network = build_network(experiment, data)
    if not list(network.parameters()):
        raise ValueError(f"`model` {experiment.model!r} has no parameters; there is none to train.")
    if experiment.model not in MODELS:
        check_network(experiment, network, data)
    Reader(data, experiment.augment)([0], 0)  # transforms run, and keep the shape
    depends = depends_on_batch(experiment.model, experiment.norm, network)
    return Opened(data, held_out, found, depends)


def open_split(experiment: Experiment, split: str, found: Found | None = None) -> Data:
    """Open one split of an experiment's data.

    Args:
        experiment: Names the data.
        split: "train", "validation" or "test".
        found: By the process that leads, if there is one.

    Returns:
        The split.
    """
    found = found or Found()
    look_in(found.folders)
    options = experiment.dataset_options
    return load_dataset(experiment.dataset, split, survey=found.survey, **options)


def build_network(experiment: Experiment, data: Data) -> nn.Module:
    """Return an experiment's CNN with its first weights.

    Args:
        experiment: Names the CNN, its options and the seed.
        data: Whose bands, classes and windows it is made for.

    Returns:
        The network, in float32 on the CPU.
    """
    return build_with(
        experiment.model,
        experiment.model_options,
        seed=experiment.seed,
        bands=len(data.bands),
        classes=len(data.classes),
        size=data.image_shape[1],
    )


def check_network(experiment: Experiment, network: nn.Module, data: Data) -> None:
    """Refuse a network that does not turn the data's images into a number for each class.

    Args:
        experiment: Names the network.
        network: In training mode before and after.
        data: Whose images and classes it is for.

    Raises:
        ValueError: It fails, or its outputs have another shape.
    """
    name = experiment.model
    shape = (_TRIED, *data.image_shape)
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            outputs = network(torch.zeros(shape))
    except Exception as error:
        raise ValueError(
            f"`model` is {name!r}; allowed are networks that take the data's images {shape}, and "
            f"this one fails: {type(error).__name__}: {error}; choose another, larger images, or "
            "`model_options`."
        ) from error
    finally:
        network.train()
    found = getattr(outputs, "shape", type(outputs).__name__)
    wanted = (_TRIED, len(data.classes))
    if found != wanted:
        raise ValueError(
            f"`model` is {name!r}, which turns images {shape} into {_told(found)}; {wanted} is "
            f"allowed, as {experiment.data_name} has {len(data.classes)} classes; give its last "
            "layer as many outputs, by `model_options` or a parameter `classes`."
        )


def _told(found: object) -> str:
    """Return a shape, or the name of a type, as a message says it."""
    if isinstance(found, torch.Size):
        return str(tuple(found))
    return str(found)
