"""Time to an accuracy: steps of the recorded map of regimes, times the steps that a clock saw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import hetlib
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many.tables import chosen
from hetlib_bundle.studies.many.target import middle_length, needed, targets

# Columns of `time_table`; what is measured and what is computed says so.
COLUMNS = [
    "recipe",
    "strategy",
    "shares",
    "n_eff/B",
    "steps to the target (virtual replicas)",
    "never reached (of the seeds)",
    "step (ms, measured)",
    "seconds to the target (computed)",
    "over equal (computed)",
    "low",
    "high",
]

SECONDS = 1e-3  # of a millisecond


class Needed(NamedTuple):
    """What a recipe's trainings need to reach a target.

    Attributes:
        recipe: By name.
        shares: Of the plain mean.
        ratio: Its n_eff / B.
        single: Steps of one process, geometric mean over the seeds.
        plain: Steps of the plain mean over independent draws, at a rate of its own; a seed that
            never reaches the target counts as if it did at the longest training.
        half: Half the width of the 95 % interval over seeds, of the logarithm of plain over single.
        never: How many seeds those are.
        seeds: Of all.
    """

    recipe: str
    shares: str
    ratio: float
    single: float
    plain: float
    half: float
    never: int
    seeds: int


def steps_needed(runs: pd.DataFrame, shares: Sequence[int]) -> list[Needed]:
    """Return the steps to the target of each recipe, for shares as uneven as those given.

    The target of a seed is what one process reaches in the middle of the lengths, less
    `.many.target.BELOW` points, as for P3.

    Args:
        runs: From `.many.tables.runs_table`.
        shares: Samples of each replica; of the recorded shares those count whose n_eff / B is
            nearest.
    """
    wanted = hetlib.effective_batch(shares) / sum(shares)
    lengths = set(runs.steps)
    found = []
    for recipe, of_recipe in runs.groupby("recipe", sort=False):
        single = chosen(of_recipe, "single")
        plain = chosen(of_recipe, "plain")
        has_all = set(of_recipe.steps) == lengths
        if has_all and len(plain):
            ratios = sorted(plain.ratio.unique(), key=lambda ratio: abs(ratio - wanted))
            nearest = plain[plain.ratio == ratios[0]]
            found.append(_needed(str(recipe), single, nearest, middle_length(runs)))
    return found


def _needed(recipe: str, single: pd.DataFrame, plain: pd.DataFrame, middle: int) -> Needed:
    """Return what one recipe needs."""
    goals = targets(single, middle)
    alone = needed(single, goals)
    uneven = needed(plain, goals)
    never = int(np.isinf(uneven).sum())
    longest = float(single.steps.max())
    counted = uneven.clip(upper=longest)
    _, half = interval(np.log(counted / alone))
    return Needed(
        recipe=recipe,
        shares=plain.shares.iloc[0],
        ratio=float(plain.ratio.iloc[0]),
        single=_geometric_mean(alone),
        plain=_geometric_mean(counted),
        half=half,
        never=never,
        seeds=len(alone),
    )


def _geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


class Clock(NamedTuple):
    """What a clock saw of a strategy's steps.

    Attributes:
        milliseconds: Of a step, the mean over repeats.
        half: Half the width of the 95 % interval over repeats, of the logarithm of its step over
            that of equal shares in the same repeat.
    """

    milliseconds: float
    half: float


def clocks(steps: pd.Series) -> dict[str, Clock]:
    """Return what the clock saw of each strategy.

    Args:
        steps: Seconds of a step by strategy and repeat; "equal" among them.
    """
    found = {}
    for name, own in steps.groupby(level="strategy", sort=False):
        ratios = own.droplevel("strategy") / steps["equal"]
        _, half = interval(np.log(ratios))
        found[str(name)] = Clock(1e3 * float(own.mean()), half)
    return found


def time_table(
    needed: Sequence[Needed],
    clock: Mapping[str, Clock],
    shares: Mapping[str, str],
) -> pd.DataFrame:
    """Return the time that each strategy needs to a target, one row a recipe and strategy.

    All but the plain mean take the steps of one process: their gradient is that of the whole batch.

    Args:
        needed: From `steps_needed`.
        clock: From `clocks`, of "equal", "uneven-plain", "balanced" and "fastest-only".
        shares: Of each, as text.

    Returns:
        `COLUMNS`; without recipes, no rows. The 95 % interval, "low" to "high", is of the time over
        that of equal shares: those of steps and of step times, which are independent, put together.
    """
    rows: list[dict[str, Any]] = []
    for each in needed:
        equal = each.single * clock["equal"].milliseconds
        for strategy, seen in clock.items():
            plain = strategy == "uneven-plain"
            steps = each.plain if plain else each.single
            half = math.hypot(each.half, seen.half) if plain else seen.half
            over = steps * seen.milliseconds / equal
            row = {
                "recipe": each.recipe,
                "strategy": strategy,
                "shares": shares[strategy],
                "n_eff/B": each.ratio if plain else 1.0,
                COLUMNS[4]: steps,
                COLUMNS[5]: each.never if plain else 0,
                COLUMNS[6]: seen.milliseconds,
                COLUMNS[7]: SECONDS * steps * seen.milliseconds,
                COLUMNS[8]: over,
                "low": over * math.exp(-half),
                "high": over * math.exp(half),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def told(table: pd.DataFrame, needed: Sequence[Needed]) -> str:
    """Return the table in words.

    Args:
        table: From `time_table`.
        needed: From `steps_needed`.
    """
    if not len(table):
        return "No recorded training of `15_regime` reaches a target yet: no time to accuracy."
    parts = []
    for each in needed:
        rows = table[table.recipe == each.recipe].set_index("strategy")
        bound = f" ({each.never} of {each.seeds} seeds never: a lower bound)" if each.never else ""
        parts.append(
            f"{each.recipe}: balanced {_over(rows, 'balanced')}, plain mean "
            f"{_over(rows, 'uneven-plain')}{bound}, fast device alone {_over(rows, 'fastest-only')}"
        )
    return f"Time to the target over that of equal shares (computed). {'; '.join(parts)}."


def _over(rows: pd.DataFrame, strategy: str) -> str:
    """Return a time over that of equal shares with its interval, as text."""
    row = rows.loc[strategy]
    return f"{row[COLUMNS[8]]:.2f} ({row['low']:.2f} to {row['high']:.2f})"
