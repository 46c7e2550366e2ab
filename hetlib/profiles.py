"""How much the notebooks compute: the same code in three sizes."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PROFILES", "Profile", "get_profile"]


@dataclass(frozen=True)
class Profile:
    """Sizes that a notebook takes where its parameters do not say otherwise."""

    seeds: tuple[int, ...]  # of weights and sample order; one run each
    epochs: int  # of the runs that are scored
    per_class: int  # most samples of a class in a split
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    strategies: tuple[str, ...]  # compared with "single" in accuracy
    repeats: int  # timed runs of each strategy
    timed_epochs: int  # of those; the first is left out as a warm-up
    measure_seconds: float  # budget of a speed measurement
    draws: int  # of a Monte Carlo check


MAIN = ("equal", "uneven-plain", "balanced", "uneven-plain-retuned", "speed-weighted")
PROFILES: Mapping[str, Profile] = {
    "quick": Profile((0, 1, 2), 6, 200, ("brandenburg",), ("smallcnn",), MAIN, 3, 2, 3.0, 2000),
    "standard": Profile(
        tuple(range(8)), 15, 400, ("brandenburg", "wake"), ("smallcnn", "mobilenet_v3_small"), MAIN, 8, 3, 8.0, 20000
    ),
    "full": Profile(
        tuple(range(10)), 40, 2000, ("brandenburg", "wake"), ("smallcnn", "resnet18"), MAIN, 15, 4, 20.0, 100000
    ),
}


def get_profile(name: str) -> Profile:
    """Return a profile by its name."""
    if name not in PROFILES:
        raise ValueError(f"`profile` is {name!r}; allowed are {list(PROFILES)}.")
    return PROFILES[name]
