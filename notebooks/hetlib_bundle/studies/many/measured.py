"""What `01_platform` measured, and others model times with: two replicas, one slowed down."""

from functools import cache
from typing import NamedTuple

from hetlib import SpeedModel
from hetlib_bundle import paths
from hetlib_bundle.kept.lines import read


class Measured(NamedTuple):
    """Two replicas with the bundle's small CNN.

    Attributes:
        models: Step model of the fast one, and of the slow one.
        exchange: Seconds that their gradients take to be averaged.
    """

    models: tuple[SpeedModel, ...]
    exchange: float


@cache
def measured(profile: str = "standard") -> Measured:
    """Return what is recorded, whether or not a notebook computes the rest anew.

    Args:
        profile: Of the records.
    """
    models, plan, *_ = read(paths.RECORDED / profile / "01_speeds.jsonl").value
    return Measured(tuple(models), plan.communication)
