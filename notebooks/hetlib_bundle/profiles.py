"""How much the notebooks compute: the same code in three sizes.

Standard is the smallest size that can decide every claim of data/claims.yaml about the embedded
scenes: two data sets, two CNNs and five seeds. Its epochs and samples were then chosen to take at
most 90 minutes on two cores, by the seconds of an epoch with its evaluation that were measured on
one core of a 2-core virtual machine: smallcnn 1.0 (Brandenburg) and 0.6 (Wake), mobilenet_v3_small
5.4 and 4.0. The 36 runs of 8 epochs of each pair in `07_accuracy` then take some 53 minutes,
`09_time` with both CNNs some 10, and the others some 15. resnet18 takes 34 seconds an epoch there:
for full. `14_settings` takes some 12 to 16 minutes beside `07_accuracy`. It has further CNNs in
full alone, as settings beside the others; its quick size has two settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hetlib.datasets import LandCoverScene
from hetlib.datasets.catalog import DATASETS


@dataclass(frozen=True)
class Profile:
    """Sizes that a notebook takes where its parameters do not say otherwise."""

    seeds: tuple[int, ...]  # of weights and sample order; one run each
    epochs: int  # of the runs that are scored
    per_class: int  # most samples of a class in a split
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    repeats: int  # timed runs of each strategy
    timed_epochs: int  # of those; the first is left out as a warm-up
    measure_seconds: float  # budget of a speed measurement
    draws: int  # of a Monte Carlo check
    # height and width that images of class folders are brought to; None: their own
    pixels: int | None
    map_stride: int  # pixels between those that a land-cover map predicts
    # that are compared with the base, by their names in `.settings`; empty: all
    settings: tuple[str, ...] = ()
    other_models: tuple[str, ...] = ()  # CNNs that are settings, too

    def dataset_options(self, dataset: str) -> dict[str, Any]:
        """Return a data set's options; Brandenburg is split by blocks, so that each split spans the whole scene."""
        if dataset in DATASETS and DATASETS[dataset][0] is not LandCoverScene:
            return {"size": self.pixels} if self.pixels else {}
        return {"per_class": self.per_class} | (
            {"split_by": "blocks"} if dataset == "brandenburg" else {}
        )


PROFILES = {
    "quick": Profile(
        (*range(4),),
        5,
        200,
        ("brandenburg",),
        ("smallcnn",),
        5,
        2,
        2.0,
        2000,
        32,
        4,
        ("two-replicas", "fixed-shards"),
    ),
    "standard": Profile(
        (*range(5),),
        8,
        300,
        ("brandenburg", "wake"),
        ("smallcnn", "mobilenet_v3_small"),
        6,
        3,
        8.0,
        10000,
        32,
        1,
    ),
    "full": Profile(
        *(
            (*range(10),),
            40,
            2000,
            ("brandenburg", "wake"),
            ("smallcnn", "resnet18"),
            15,
            4,
            20.0,
            20000,
            None,
            1,
        ),
        other_models=("resnet18", "vgg11", "mobilenet_v3_small", "densenet121"),
    ),
}


def get_profile(name: str) -> Profile:
    """Return a profile by its name."""
    if name not in PROFILES:
        raise ValueError(f"`profile` is {name!r}; allowed are {list(PROFILES)}.")
    return PROFILES[name]


def chosen(given: Sequence[str] | str, default: Sequence[str]) -> tuple[str, ...]:
    """Return the names given by a notebook's parameter, or the profile's; ``papermill -p`` gives ``"a,b"``."""
    names = given.replace(",", " ").split() if isinstance(given, str) else given
    return tuple(names or default)
