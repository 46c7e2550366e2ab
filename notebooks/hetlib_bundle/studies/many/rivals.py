"""Rivals at large ratios of speeds: what is trained, each at its own searched rate.

One process with the whole batch stands for every way to form its gradient. Beside it: the plain
mean with the best shares that keep both, local SGD with uneven local steps, and as a control of the
latter one process with the batch of a local step. `.rival_times` says what their steps cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from hetlib.inputs import one_of
from hetlib_bundle.studies.many.cells import OWN, Cell, run_cell, split_of
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.engine import Layers
from hetlib_bundle.studies.many.local import AVERAGES, Rounds, train_rounds
from hetlib_bundle.studies.many.recipes import recipe
from hetlib_bundle.studies.many.rival_times import (
    EXACT,
    GLOBAL_BATCH,
    HALF,
    LOCAL_BATCH,
    fleet,
    local_name,
)
from hetlib_bundle.studies.many.samples import all_scores, confusions
from hetlib_bundle.studies.many.search import Grid, search


@dataclass(frozen=True, kw_only=True)
class Rivalry:
    """What is trained.

    Attributes:
        recipe: Name.
        ratios: Of the two replicas' speeds.
        lengths: Of the trainings, in steps of the global batch.
        seeds: Of the runs.
        search_seeds: Of those that rates are chosen on.
        weighed_seeds: Of the runs of `.speeds`, which are fewer kinds.
    """

    recipe: str
    ratios: tuple[float, ...]
    lengths: tuple[int, ...]
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    weighed_seeds: tuple[int, ...]


def curves(of: Rivalry) -> pd.DataFrame:
    """Train everything: each strategy and length at its own searched rate.

    Args:
        of: What is trained.

    Returns:
        A row a run: ``strategy``, ``ratio`` (0: any), ``steps`` (of the global batch), ``rate``,
        ``edge`` (that rate is at the end of its grid), ``seed``, ``oa`` (percent).
    """
    rows: list[dict[str, Any]] = []
    for steps in of.lengths:
        exact = Condition("single", (GLOBAL_BATCH,))
        rows += _gradients(of, EXACT, 0.0, exact, steps)
        half = Condition("single", (LOCAL_BATCH,))
        rows += _gradients(of, HALF, 0.0, half, steps)
        for ratio in of.ratios:
            plain = Condition("plain", fleet(ratio).shares)
            rows += _gradients(of, "uneven-plain", ratio, plain, steps)
            for average in AVERAGES:
                local = Rounds(local_steps=(int(ratio), 1), batch=LOCAL_BATCH, average=average)
                rows += _rounds(of, local_name(average), ratio, local, steps)
    return pd.DataFrame(rows)


def _gradients(
    of: Rivalry, strategy: str, ratio: float, condition: Condition, steps: int
) -> list[dict[str, Any]]:
    """Return the runs of a way to form the gradient."""
    cell = Cell(
        recipe=of.recipe,
        condition=condition,
        steps=steps * GLOBAL_BATCH // condition.global_batch,
        seeds=of.seeds,
        search_seeds=of.search_seeds,
    )
    found = run_cell(cell)
    run = found["runs"][OWN]
    about = {"strategy": strategy, "ratio": ratio, "steps": steps}
    about |= {"rate": found["rate"], "edge": found["edge"]}
    return [
        {**about, "seed": seed, "oa": 100 * oa}
        for seed, oa in zip(of.seeds, run["oa"], strict=True)
    ]


def _rounds(
    of: Rivalry, strategy: str, ratio: float, rounds: Rounds, steps: int
) -> list[dict[str, Any]]:
    """Return the runs of local SGD."""
    local_steps = steps * GLOBAL_BATCH // LOCAL_BATCH

    def validate(rates: Sequence[float]) -> np.ndarray:
        layers = train_rounds(of.recipe, rounds, local_steps, of.search_seeds, rates)
        return _scores(layers, of.recipe, of.search_seeds, "validation").T

    best = search(validate, Grid(middle=recipe(of.recipe).middle_rate)).best
    layers = train_rounds(of.recipe, rounds, local_steps, of.seeds, [best.lr])
    scores = _scores(layers, of.recipe, of.seeds, "test")
    about = {"strategy": strategy, "ratio": ratio, "steps": steps}
    about |= {"rate": best.lr, "edge": best.edge}
    return [
        {**about, "seed": seed, "oa": 100 * float(oa)}
        for seed, (oa,) in zip(of.seeds, scores, strict=True)
    ]


def _scores(layers: Layers, name: str, seeds: Sequence[int], part: str) -> np.ndarray:
    """Return the OA on a part of each seed's split, (S, R)."""
    rows = []
    for position, seed in enumerate(seeds):
        split = split_of(name, seed)
        found = confusions(layers, position, getattr(split, part), split.classes)
        rows.append([all_scores(confusion)["oa"] for confusion in found])
    return np.array(rows)


RIVALRIES = {
    "quick": Rivalry(
        recipe="wake-pixels",
        ratios=(4.0, 30.0),
        lengths=(25, 50, 100),
        seeds=(0, 1, 2),
        search_seeds=(100,),
        weighed_seeds=(0, 1, 2),
    ),
    "standard": Rivalry(
        recipe="brandenburg-pixels",
        ratios=(4.0, 10.0, 30.0),
        lengths=(25, 50, 100, 200),
        seeds=tuple(range(8)),
        search_seeds=(100, 101, 102, 103),
        weighed_seeds=tuple(range(10)),
    ),
}
RIVALRIES["full"] = replace(RIVALRIES["standard"], seeds=tuple(range(20)))


def rivalry(profile: str) -> Rivalry:
    """Return what is trained at a size.

    Args:
        profile: One of `RIVALRIES`.

    Raises:
        ValueError: There is none of this name.
    """
    one_of("profile", profile, RIVALRIES)
    return RIVALRIES[profile]
