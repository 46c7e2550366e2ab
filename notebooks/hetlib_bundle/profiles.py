"""How much the notebooks compute: the same code in three sizes."""

from dataclasses import dataclass
from typing import Any

__all__ = ["PROFILES", "Profile", "get_profile"]


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

    def dataset_options(self, dataset: str) -> dict[str, Any]:
        """Return a data set's options; Brandenburg is split by blocks, so that each split spans the whole scene."""
        return {"per_class": self.per_class} | ({"split_by": "blocks"} if dataset == "brandenburg" else {})


PROFILES = {
    "quick": Profile((*range(4),), 6, 300, ("brandenburg",), ("smallcnn",), 5, 2, 4.0, 2000),
    "standard": Profile(
        (*range(6),), 12, 400, ("brandenburg", "wake"), ("smallcnn", "mobilenet_v3_small"), 8, 3, 8.0, 10000
    ),
    "full": Profile((*range(10),), 40, 2000, ("brandenburg", "wake"), ("smallcnn", "resnet18"), 15, 4, 20.0, 20000),
}


def get_profile(name: str) -> Profile:
    """Return a profile by its name."""
    if name not in PROFILES:
        raise ValueError(f"`profile` is {name!r}; allowed are {list(PROFILES)}.")
    return PROFILES[name]
