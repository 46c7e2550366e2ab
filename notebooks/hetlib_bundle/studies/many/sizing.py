"""Rules by which other planners choose local batches, on recorded step models: no training.

Each rule sees every other measured point of a replica's step model; its shares are judged by the
model through all points. Times are modelled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hetlib import SpeedModel, partition
from hetlib.balanced.shares import deal, slashed
from hetlib_bundle.studies.many.measured import measured

GLOBAL_BATCH = 128

# How many times as long the further replicas need as the fast one.
FLEETS = ((1.0, 1.5), (1.0, 2.0), (1.0, 4.0), (1.0, 1.5, 2.0, 4.0), (1.0, 3.3, 10.0, 30.0))


class Fleet(NamedTuple):
    """Replicas by their step models.

    Attributes:
        name: Of the fleet.
        models: One a replica, through all measured points.
    """

    name: str
    models: tuple[SpeedModel, ...]


def recorded_fleets(profile: str = "standard") -> list[Fleet]:
    """Return fleets of recorded step models.

    Two replicas as they were measured; and the fast one of them beside slower ones.

    Args:
        profile: Of the records.
    """
    models = measured(profile).models
    found = [Fleet("measured 1:4", models)]
    for slowdowns in FLEETS:
        name = ":".join(f"{slow:g}" for slow in slowdowns)
        slower = tuple(models[0].slowed(slow) for slow in slowdowns)
        found.append(Fleet(f"modelled {name}", slower))
    return found


def every_other(model: SpeedModel) -> SpeedModel:
    """Return a model through every other point, the last one among them.

    Args:
        model: Through all points.
    """
    return SpeedModel(model.batches[::-2][::-1], model.seconds[::-2][::-1])


def proportional(models: Sequence[SpeedModel], batch: int) -> tuple[int, ...]:
    """Return shares in proportion to the speeds at equal local batches (LB-BSP, LSDDP).

    Args:
        models: Of the replicas.
        batch: Samples of a step over all of them.
    """
    equal = batch / len(models)
    speeds = np.array([equal / model.time(equal) for model in models])
    parts = np.rint(1e6 * speeds / speeds.sum()).astype(int)
    return deal(batch, parts.tolist())


def affine(models: Sequence[SpeedModel], batch: int) -> tuple[int, ...]:
    """Return the fastest shares for straight lines through the points (Cannikin).

    Args:
        models: Of the replicas.
        batch: Samples of a step over all of them.
    """
    lines = []
    for model in models:
        slope, start = np.polyfit(model.batches, model.seconds, 1)
        lines.append(SpeedModel.constant(1 / slope, max(float(start), 0.0)))
    return partition(lines, batch).shares


def interpolated(models: Sequence[SpeedModel], batch: int) -> tuple[int, ...]:
    """Return the fastest shares for straight lines between the points (hetlib).

    Args:
        models: Of the replicas.
        batch: Samples of a step over all of them.
    """
    return partition(models, batch).shares


RULES: Mapping[str, Callable[[Sequence[SpeedModel], int], tuple[int, ...]]] = {
    "proportional": proportional,
    "affine": affine,
    "interpolated": interpolated,
}


def sizing_table(batch: int = GLOBAL_BATCH) -> pd.DataFrame:
    """Return the shares of each rule and what they cost.

    Args:
        batch: Samples of a step over all replicas.

    Returns:
        A row a fleet and rule: ``shares``, ``step (ms)`` by the model through all points, and
        ``over the best``: that step over the one of the fastest shares by the same model, less 1,
        in percent.
    """
    rows = []
    for fleet in recorded_fleets():
        seen = [every_other(model) for model in fleet.models]
        best = step_of(fleet.models, partition(fleet.models, batch).shares)
        for name, rule in RULES.items():
            shares = rule(seen, batch)
            step = step_of(fleet.models, shares)
            rows.append(
                {
                    "fleet": fleet.name,
                    "rule": name,
                    "shares": slashed(shares),
                    "step (ms)": 1e3 * step,
                    "over the best (%)": 100 * (step / best - 1),
                }
            )
    return pd.DataFrame(rows)


def step_of(models: Sequence[SpeedModel], shares: Sequence[int]) -> float:
    """Return the modelled compute time of a step.

    Args:
        models: Of the replicas.
        shares: Their local batches.
    """
    return max(model.time(share) for model, share in zip(models, shares, strict=True))
