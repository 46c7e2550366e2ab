r"""Steps to a target accuracy, and what the effective batch predicts for them.

A run needs more steps with a smaller batch: with the noise scale :math:`B_n` the ratio of the steps
is :math:`(1 + B_n / n_\mathrm{eff}) / (1 + B_n / B)` (McCandlish et al., arXiv 1812.06162), at most
:math:`B / n_\mathrm{eff}`.
"""

import math

import numpy as np
import pandas as pd

from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many.cells import OWN

# Points below what one process reaches at the target's length, so that longer runs surely reach it.
BELOW = 1.0


def middle_length(runs: pd.DataFrame) -> int:
    """Return the middle one of the lengths, the longer of two.

    Args:
        runs: At all lengths.
    """
    lengths = sorted(runs.steps.unique())
    return lengths[len(lengths) // 2]


def targets(single: pd.DataFrame, length: int) -> pd.Series:
    """Return the target of each seed: what one process reaches at a length, less `BELOW`.

    Args:
        single: Runs of one process, of one recipe.
        length: In steps.
    """
    return single[single.steps == length].set_index("seed").oa - BELOW


def needed(runs: pd.DataFrame, goals: pd.Series) -> pd.Series:
    """Return the steps that each seed needs to its target, infinite where it never gets there.

    Args:
        runs: Of one strategy and recipe, at all lengths.
        goals: By seed.
    """
    found = {}
    for seed, group in runs.groupby("seed"):
        curve = group.set_index("steps").oa.sort_index()
        found[seed] = steps_to(curve, goals[seed])
    return pd.Series(found)


def steps_to(curve: pd.Series, target: float) -> float:
    """Return the length of a training that reaches a target, interpolated on a log scale.

    Each length is a training of its own, with a full schedule and its own rate.

    Args:
        curve: Score by number of steps, rising.
        target: The score.

    Returns:
        Steps; infinite where no length reaches it, the shortest length where all do.
    """
    lengths = curve.index.to_numpy(dtype=float)
    scores = np.maximum.accumulate(curve.to_numpy(dtype=float))
    if scores[-1] < target:
        return math.inf
    place = int(np.argmax(scores >= target))
    if place == 0:
        return float(lengths[0])
    low, high = scores[place - 1 : place + 1]
    part = (target - low) / (high - low)
    logs = np.log(lengths)
    return float(np.exp(logs[place - 1] + part * (logs[place] - logs[place - 1])))


def target_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as many steps the plain mean needs as one process.

    The target of a recipe and seed is what one process has in the middle of the lengths, less
    `BELOW`.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        A row a recipe, kind, sampling and shares: ``ratio`` of the steps (geometric mean over the
        seeds that reach the target) with ``low`` and ``high`` (95 %), ``bound`` (B / n_eff),
        ``reached`` and ``seeds``.
    """
    own = runs[(runs.role == OWN) & runs.kind.isin(("single", "small", "plain"))]
    rows = []
    for recipe, of_recipe in own.groupby("recipe", sort=False):
        lengths = of_recipe.steps.unique()
        single = of_recipe[of_recipe.kind == "single"]
        goals = targets(single, middle_length(of_recipe))
        alone = needed(single, goals)
        others = of_recipe[of_recipe.kind != "single"]
        for names, group in others.groupby(["kind", "sampling", "shares"], sort=False):
            if group.steps.nunique() < min(2, len(lengths)):  # one length is no curve
                continue
            ratios = needed(group, goals) / alone
            rows.append(
                {
                    "recipe": recipe,
                    **dict(zip(("kind", "sampling", "shares"), names, strict=True)),
                    **_geometric(ratios),
                    "bound": 1 / group.ratio.iloc[0],
                }
            )
    return pd.DataFrame(rows)


def _geometric(ratios: pd.Series) -> dict[str, float]:
    """Return the geometric mean of the finite ratios."""
    finite = [math.log(ratio) for ratio in ratios if math.isfinite(ratio)]
    found = {"ratio": math.nan, "low": math.nan, "high": math.nan}
    if finite:
        mean, half = interval(finite)
        found = {
            "ratio": math.exp(mean),
            "low": math.exp(mean - half),
            "high": math.exp(mean + half) if math.isfinite(half) else math.inf,
        }
    return {**found, "reached": len(finite), "seeds": len(ratios)}


def told(table: pd.DataFrame, shares: str) -> str:
    """Return the ratios of the plain mean over independent draws in words.

    Args:
        table: From `target_table`.
        shares: Of the plain mean.
    """
    plain = table[(table.kind == "plain") & (table.sampling == "iid") & (table.shares == shares)]
    parts = [
        f"{row.recipe} {row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})"
        for row in plain.itertuples()
    ]
    return f"{', '.join(parts)}; B / n_eff is {plain.bound.iloc[0]:.2f}"
