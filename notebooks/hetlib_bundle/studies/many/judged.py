"""What the primary claims are judged by: one value a seed, in the columns that a claim reads.

The settings were chosen with the claims, before the recorded runs: shares that a planner makes on a
platform of 1:4, the worst ones of the bundle, and of the lengths a short and the longest one.
"""

import math

import numpy as np
import pandas as pd

from hetlib_bundle.studies.many.tables import AT_CHANCE, chosen, differences
from hetlib_bundle.studies.many.target import middle_length, needed, targets

# Shares that a planner makes for a replica four times slower, and very uneven ones.
PLANNED = "107/21"
WORST = "90/26/9/3"

# Of every table here, beside its value.
COLUMNS = ["dataset", "setting", "seed", "strategy", "n_eff", "n_eff/B", "edge", "trained"]


def effective_batch(runs: pd.DataFrame) -> pd.DataFrame:
    """Return P2: the plain mean over i.i.d. draws minus one process with a batch of n_eff.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        One row a recipe, shares, length (the shortest of at least 200 steps, and the longest) and
        seed: the columns of `_rows`, with "OA - OA of n_eff" in points.
    """
    both = [PLANNED, WORST]
    lengths = _short_and_long(runs)
    plain = chosen(runs, "plain")
    plain = plain[plain.shares.isin(both) & plain.steps.isin(lengths)]
    found = differences(plain, chosen(runs, "small"))
    setting = found.shares + ", " + found.steps.astype(str) + " steps"
    return _rows(found, setting, "OA - OA of n_eff")


def own_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Return P5: the plain mean over i.i.d. draws minus one process, both long and at own rates.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        One row a recipe, shares and seed: the columns of `_rows`, with "OA - single" in points.
    """
    plain = chosen(runs, "plain")
    plain = plain[plain.shares.isin([PLANNED, WORST]) & (plain.steps == runs.steps.max())]
    found = differences(plain, chosen(runs, "single"))
    return _rows(found, found.shares, "OA - single")


def lasting(runs: pd.DataFrame) -> pd.DataFrame:
    """Return P4: what the plain mean loses to the balanced gradient with shards, trained long.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        One row a recipe, kind of shard and seed, for the worst shares: the columns of `_rows`, with
        "OA - balanced" in points.
    """
    own = runs[(runs.shares == WORST) & (runs.steps == runs.steps.max()) & (runs.role == "own")]
    parts = []
    for sampling in ("random", "region", "class", "half"):
        plain = chosen(own, "plain", sampling)
        balanced = chosen(own, "balanced", sampling)
        if len(plain) and len(balanced):
            found = differences(plain, balanced)
            setting = pd.Series(f"{sampling} shards", found.index)
            parts.append(_rows(found, setting, "OA - balanced"))
    if not parts:  # none is recorded yet
        return pd.DataFrame(columns=[*COLUMNS, "OA - balanced"])
    return pd.concat(parts, ignore_index=True)


def to_target(runs: pd.DataFrame) -> pd.DataFrame:
    """Return P3: how many times as many steps the plain mean needs as the balanced gradient.

    With the same shares a step takes as long, so this is the ratio of the times, too. Over i.i.d.
    draws the balanced gradient is that of one process. The target of a recipe and seed is what one
    process has in the middle of the lengths, less `.target.BELOW`. A plain mean that never reaches
    it counts as if it did at the longest length: no less than that.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        One row a recipe and seed, for the planner's shares: the columns of `_rows`, with "log
        ratio", and "reached".
    """
    single = chosen(runs, "single")
    plain = chosen(runs, "plain")
    plain = plain[plain.shares == PLANNED]
    middle = middle_length(single)
    longest = single.steps.max()
    rows = []
    for (recipe, seed), own in plain.groupby(["recipe", "seed"], sort=False):
        alone = single[(single.recipe == recipe) & (single.seed == seed)]
        goal = targets(alone, middle)
        taken = float(needed(own, goal).iloc[0])
        reached = math.isfinite(taken)
        of_one_process = float(needed(alone, goal).iloc[0])
        ratio = (taken if reached else longest) / of_one_process
        rows.append(
            {
                "dataset": recipe,
                "setting": PLANNED,
                "seed": seed,
                "strategy": "uneven-plain",
                "n_eff": own.n_eff.iloc[0],
                "n_eff/B": own.n_eff.iloc[0] / _global_batch(PLANNED),
                "log ratio": float(np.log(ratio)),
                "reached": reached,
                "edge": bool(own.edge.any() or alone.edge.any()),
                "trained": bool((alone.mark != AT_CHANCE).all()),
            }
        )
    return pd.DataFrame(rows)


def _global_batch(shares: str) -> int:
    """Return the samples of a step over all replicas."""
    return sum(map(int, shares.split("/")))


def _short_and_long(runs: pd.DataFrame) -> list[int]:
    lengths = sorted(runs.steps.unique())
    short = next(steps for steps in lengths if steps >= min(200, lengths[-1]))
    return [short, lengths[-1]]


def _rows(found: pd.DataFrame, setting: pd.Series, column: str) -> pd.DataFrame:
    """Return differences in the columns that a claim reads.

    Args:
        found: From `.tables.differences`.
        setting: What the tables call each row's cell beside its recipe.
        column: Name of the value.

    Returns:
        dataset (the recipe), setting, seed, strategy, n_eff, n_eff/B, the value, edge (a rate at
        the end of its grid), trained (the reference is better than a guess; that the plain mean may
        not be is what is asked).
    """
    return pd.DataFrame(
        {
            "dataset": found.recipe,
            "setting": setting,
            "seed": found.seed,
            "strategy": "uneven-plain",
            "n_eff": found.n_eff,
            "n_eff/B": found.n_eff / found.shares.map(_global_batch),
            column: found.difference,
            "edge": found.edges,
            "trained": found["mark beside"] != AT_CHANCE,
        }
    )
