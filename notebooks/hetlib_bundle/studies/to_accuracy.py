"""Time to an accuracy: steps of the recorded map of regimes, times the steps that a clock saw."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import hetlib
from hetlib_bundle.studies.many.judged import BELOW
from hetlib_bundle.studies.many.tables import chosen
from hetlib_bundle.studies.many.target import steps_to

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
        never: How many seeds those are.
        seeds: Of all.
    """

    recipe: str
    shares: str
    ratio: float
    single: float
    plain: float
    never: int
    seeds: int


def steps_needed(runs: pd.DataFrame, shares: Sequence[int]) -> list[Needed]:
    """Return the steps to the target of each recipe, for shares as uneven as those given.

    The target of a seed is what one process reaches in the middle of the lengths, less `BELOW`
    points, as for P3.

    Args:
        runs: From `.many.tables.runs_table`.
        shares: Samples of each replica; of the recorded shares those count whose n_eff / B is
            nearest.
    """
    wanted = hetlib.effective_batch(shares) / sum(shares)
    lengths = sorted(runs.steps.unique())
    found = []
    for recipe, of_recipe in runs.groupby("recipe", sort=False):
        single = chosen(of_recipe, "single")
        plain = chosen(of_recipe, "plain")
        longest = set(of_recipe.steps) == set(lengths)
        if longest and len(plain):
            ratios = sorted(plain.ratio.unique(), key=lambda ratio: abs(ratio - wanted))
            nearest = plain[plain.ratio == ratios[0]]
            middle = lengths[len(lengths) // 2]
            found.append(_needed(str(recipe), single, nearest, middle))
    return found


def _needed(recipe: str, single: pd.DataFrame, plain: pd.DataFrame, middle: int) -> Needed:
    """Return what one recipe needs."""
    alone = []
    uneven = []
    for seed, own in single.groupby("seed"):
        curve = own.set_index("steps").oa.sort_index()
        target = float(curve[middle]) - BELOW
        alone.append(steps_to(curve, target))
        rival = plain[plain.seed == seed].set_index("steps").oa.sort_index()
        uneven.append(steps_to(rival, target))
    never = int(np.isinf(uneven).sum())
    longest = float(single.steps.max())
    counted = np.minimum(uneven, longest)
    return Needed(
        recipe=recipe,
        shares=plain.shares.iloc[0],
        ratio=float(plain.ratio.iloc[0]),
        single=_geometric_mean(alone),
        plain=_geometric_mean(counted),
        never=never,
        seeds=len(alone),
    )


def _geometric_mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.exp(np.log(values).mean()))


def time_table(
    needed: Sequence[Needed],
    milliseconds: Mapping[str, float],
    shares: Mapping[str, str],
) -> pd.DataFrame:
    """Return the time that each strategy needs to a target, one row a recipe and strategy.

    All but the plain mean take the steps of one process: their gradient is that of the whole batch.

    Args:
        needed: From `steps_needed`.
        milliseconds: Measured step of "equal", "uneven-plain", "balanced" and "fastest-only".
        shares: Of each, as text.

    Returns:
        `COLUMNS`; without recipes, no rows.
    """
    rows: list[dict[str, Any]] = []
    for each in needed:
        equal = each.single * milliseconds["equal"]
        for strategy, taken in milliseconds.items():
            plain = strategy == "uneven-plain"
            steps = each.plain if plain else each.single
            row = {
                "recipe": each.recipe,
                "strategy": strategy,
                "shares": shares[strategy],
                "n_eff/B": each.ratio if plain else 1.0,
                COLUMNS[4]: steps,
                COLUMNS[5]: each.never if plain else 0,
                COLUMNS[6]: taken,
                COLUMNS[7]: SECONDS * steps * taken,
                COLUMNS[8]: steps * taken / equal,
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
        over = table[table.recipe == each.recipe].set_index("strategy")[COLUMNS[8]]
        bound = f" ({each.never} of {each.seeds} seeds never: a lower bound)" if each.never else ""
        parts.append(
            f"{each.recipe}: balanced {over['balanced']:.2f}, plain mean "
            f"{over['uneven-plain']:.2f}{bound}, fast device alone {over['fastest-only']:.2f}"
        )
    return f"Time to the target over that of equal shares (computed). {'; '.join(parts)}."
