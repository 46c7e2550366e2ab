"""Where a second device pays, by the clock: the plan, the fast device alone, and equal shares.

Two replicas in processes of their own, the second slowed down. For each pair of speeds, CNN and
global batch the planner chooses the shares, with leave to leave the slow one out and without. The
splits are then trained for a few steps each, in turns, there and back. One pass over all pairs is a
*sitting*: what the machine is like at one hour. Times differ more between sittings than within one,
so a sitting's median is one value, however many turns it has.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import psutil

import hetlib
from hetlib.balanced.shares import slashed
from hetlib_bundle.claims.verdict import interval

Shares: TypeAlias = tuple[int, ...]

# Steps of a run that its processes need to be as fast as they will be.
WARM_UP = 3

# In place of shares where some sittings kept the slow device and others did not.
MIXED = "mixed"

# What tells the cells apart.
CELL = ["dataset", "model", "setting"]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A platform of two replicas, and what it trains."""

    model: str

    # Compute time of the slow replica over that of the fast one.
    ratio: float

    global_batch: int

    # Steps of a run; the first ones are left out.
    steps: int

    # Height and width of the images.
    pixels: int = 16

    @property
    def setting(self) -> str:
        """What the tables call it beside the CNN."""
        return f"1:{self.ratio:g}, batch {self.global_batch}"


def experiment(cell: Cell, dataset: str, **changes: Any) -> hetlib.Experiment:
    """Return a timed run of a cell, without an evaluation.

    Args:
        cell: Which platform and CNN.
        dataset: One of the scenes.
        changes: Further fields, such as the shares.
    """
    settings: dict[str, Any] = {
        "dataset": dataset,
        "dataset_options": {"window": cell.pixels, "per_class": 64},
        "model": cell.model,
        "global_batch": cell.global_batch,
        "epochs": 50,
        "max_steps": cell.steps + WARM_UP,
        "evaluate_every": 0,
        "schedule": "constant",
        "lr": 0.01,
    }
    return hetlib.Experiment(**(settings | changes))


def sitting(cells: Sequence[Cell], dataset: str, *, turns: int, seconds: float) -> pd.DataFrame:
    """Measure all cells once.

    Args:
        cells: Platforms and CNNs.
        dataset: One of the scenes.
        turns: Runs of each split; one there and one back at least.
        seconds: Budget of each plan.

    Returns:
        One row a cell, split and turn: sitting (its hour, UTC), `CELL`, ratio, batch, split
        ("plan", "all replicas", "fastest-only", "equal"), shares, turn, step (s), busy (% of the
        machine that other work took before it).
    """
    hour = datetime.now(UTC).isoformat(timespec="minutes")
    busy = psutil.cpu_percent(1.0)
    rows = []
    for ratio, group in _by_ratio(cells):
        platform = hetlib.Platform.emulated([1, ratio])
        with hetlib.Replicas(platform) as replicas:
            for cell in group:
                rows += _measured(cell, dataset, replicas, turns, seconds)
    return pd.DataFrame(rows).assign(sitting=hour, busy=busy)


def _by_ratio(cells: Sequence[Cell]) -> Iterator[tuple[float, list[Cell]]]:
    """Yield the cells of each ratio, whose replicas are started once."""
    for ratio in dict.fromkeys(cell.ratio for cell in cells):
        yield ratio, [cell for cell in cells if cell.ratio == ratio]


def _measured(
    cell: Cell, dataset: str, replicas: hetlib.Replicas, turns: int, seconds: float
) -> list[dict[str, Any]]:
    """Return the rows of one cell."""
    splits = _splits(cell, dataset, replicas, seconds)
    rows = []
    for turn in range(turns):
        names = list(splits)
        if turn % 2:
            names.reverse()
        taken: dict[Shares, float] = {}
        for name in names:
            shares = splits[name]
            if shares not in taken:  # the same split twice is one run
                taken[shares] = _step(cell, dataset, replicas, shares)
            rows.append(
                {
                    "dataset": dataset,
                    "model": cell.model,
                    "setting": cell.setting,
                    "ratio": cell.ratio,
                    "batch": cell.global_batch,
                    "split": name,
                    "shares": slashed(shares),
                    "turn": turn,
                    "step": taken[shares],
                }
            )
    return rows


def _splits(
    cell: Cell, dataset: str, replicas: hetlib.Replicas, seconds: float
) -> Mapping[str, Shares]:
    """Return the shares that are compared."""
    settings = experiment(cell, dataset)
    free = hetlib.plan_experiment(settings, replicas, seconds=seconds, progress=False)
    kept = hetlib.plan_experiment(
        settings, replicas, seconds=seconds, keep_all=True, progress=False
    )
    whole = cell.global_batch
    return {
        "plan": free.shares,
        "all replicas": kept.shares,
        "fastest-only": (whole, 0),
        "equal": (whole - whole // 2, whole // 2),
    }


def _step(cell: Cell, dataset: str, replicas: hetlib.Replicas, shares: Shares) -> float:
    """Return the median step of one run, in seconds."""
    run = hetlib.train(experiment(cell, dataset, shares=shares), replicas)
    return float(np.median(run.step_seconds[WARM_UP:]))


def speedups(measured: pd.DataFrame) -> pd.DataFrame:
    """Return what the splits gain, one row a cell and sitting.

    Ratios are of the same turn, and their median over the turns is the sitting's value.

    Args:
        measured: Rows of `sitting`, of one or several sittings.

    Returns:
        `CELL`, ratio, batch, sitting, shares of the plan, "speedup over fastest" (fast device
        alone over plan), "all replicas over fastest" (the same of the best split that keeps both),
        "speedup over equal", busy.
    """
    rows = []
    for key, part in measured.groupby([*CELL, "ratio", "batch", "sitting"], sort=False):
        by = part.pivot_table("step", "turn", "split")
        alone = by["fastest-only"]
        row = dict(zip([*CELL, "ratio", "batch", "sitting"], key, strict=True))
        row["shares"] = part[part.split == "plan"].shares.iloc[0]
        row["strategy"] = "balanced"
        row["speedup over fastest"] = float((alone / by["plan"]).median())
        row["all replicas over fastest"] = float((alone / by["all replicas"]).median())
        row["speedup over equal"] = float((by["equal"] / by["plan"]).median())
        row["busy (%)"] = float(part.busy.iloc[0])
        rows.append(row)
    return pd.DataFrame(rows)


def over_sittings(by_sitting: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each cell over the sittings, with half its 95 % interval.

    Args:
        by_sitting: From `speedups`.

    Returns:
        One row a cell: model, ratio, batch, sittings, shares of the last one (`MIXED` where only
        some plans left the slow device out), and for each speedup its mean and half interval; the
        half is infinite for a single sitting.
    """
    rows = []
    for (model, ratio, batch), part in by_sitting.groupby(["model", "ratio", "batch"], sort=False):
        row: dict[str, Any] = {"model": model, "ratio": ratio, "batch": batch}
        row["sittings"] = len(part)
        row["shares"] = _of_all(part.shares)
        for name in ("speedup over fastest", "all replicas over fastest", "speedup over equal"):
            row[name], row[f"{name} ±"] = interval(part[name])
        rows.append(row)
    return pd.DataFrame(rows)


def leaves_out(shares: pd.Series) -> pd.Series:
    """Return which of the shares leave the slow device out.

    Args:
        shares: As text, such as "512/0".
    """
    return shares.str.endswith("/0")


def _of_all(shares: pd.Series) -> str:
    """Return the shares of the last sitting, or a word where sittings differ in who takes part."""
    left_out = leaves_out(shares)
    if left_out.any() and not left_out.all():
        return MIXED
    return str(shares.iloc[-1])
