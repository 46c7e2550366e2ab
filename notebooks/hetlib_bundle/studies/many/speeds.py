r"""Weights by speed where they are not weights by samples.

Weights by speed, :math:`s_r / \sum s`, are those by samples only while shares go with the speeds.
They do not where a step has a part that takes as long for any batch, where memory caps a share, and
where the shares have moved and the speeds that weigh have not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many.cells import (
    Cell,
    batches,
    search_rate,
    split_of,
)
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.draws import draw
from hetlib_bundle.studies.many.engine import perceptron, stack, train
from hetlib_bundle.studies.many.recipes import recipe
from hetlib_bundle.studies.many.samples import all_scores, confusions

# Of two replicas.
SPEEDS = (4.0, 1.0)


class Case(NamedTuple):
    """Shares whose weights by speed are not those by samples.

    Attributes:
        name: What makes them so.
        plans: Shares of equal parts of the training, one after the other.
    """

    name: str
    plans: tuple[tuple[int, int], ...]


CASES = (
    Case("a part of the step takes as long for any batch", ((107, 21),)),
    Case("memory caps the fast replica", ((64, 64),)),
    Case("the slow replica recovers in mid-run", ((107, 21), (64, 64))),
)


def step_weights(case: Case, weighting: str, steps: int) -> np.ndarray:
    """Return what each sample of each step counts, (steps, n).

    Args:
        case: With the plans.
        weighting: "samples" or "speed".
        steps: Of the training.
    """
    halves = np.array_split(np.arange(steps), len(case.plans))
    parts = []
    for part, plan in zip(halves, case.plans, strict=True):
        each = replica_weights(plan, weighting, SPEEDS) / np.asarray(plan)
        parts.append(np.tile(np.repeat(each, plan), (len(part), 1)))
    return np.concatenate(parts)


def speed_table(
    name: str, steps: int, seeds: Sequence[int], search_seeds: Sequence[int]
) -> pd.DataFrame:
    """Train with weights by speed and by samples, at the rate that is best for the latter.

    Args:
        name: Of the recipe.
        steps: Of the training.
        seeds: Of the runs.
        search_seeds: Of those that the rate is chosen on.

    Returns:
        A row a case and seed: ``case``, ``shares``, ``n_eff`` (of the weights by speed, the least
        of the plans; by samples it is the global batch), ``seed``, ``by samples`` and ``by speed``
        (test OA, percent), ``difference`` in points.
    """
    whole = Condition("single", (sum(CASES[0].plans[0]),))
    cell = Cell(
        recipe=name,
        condition=whole,
        steps=steps,
        seeds=tuple(seeds),
        search_seeds=tuple(search_seeds),
    )
    rate = search_rate(cell).best.lr
    rows = []
    for case in CASES:
        by_samples = _scores(cell, step_weights(case, "samples", steps), rate)
        by_speed = _scores(cell, step_weights(case, "speed", steps), rate)
        for seed, samples, speed in zip(seeds, by_samples, by_speed, strict=True):
            rows.append(
                {
                    "case": case.name,
                    "shares": ", then ".join(f"{fast}/{slow}" for fast, slow in case.plans),
                    "n_eff": min(_n_eff(plan) for plan in case.plans),
                    "seed": seed,
                    "by samples": samples,
                    "by speed": speed,
                    "difference": speed - samples,
                }
            )
    return pd.DataFrame(rows)


def _n_eff(plan: Sequence[int]) -> float:
    return effective_batch(plan, replica_weights(plan, "speed", SPEEDS))


def _scores(cell: Cell, weights: np.ndarray, rate: float) -> list[float]:
    """Return the test OA of each seed, percent."""
    how = recipe(cell.recipe)
    splits = [split_of(cell.recipe, seed) for seed in cell.seeds]
    networks = []
    rows = []
    for split, seed in zip(splits, cell.seeds, strict=True):
        networks.append(perceptron(how.sizes(split), seed))
        rows.append(draw(cell.condition, split.train, cell.steps, seed))
    layers = stack(networks, 1)
    drawn = batches([split.train for split in splits], rows)
    train(layers, drawn, steps=cell.steps, rates=[rate], weights=weights, descent=how.descent)
    found = []
    for position, split in enumerate(splits):
        (confusion,) = confusions(layers, position, split.test, split.classes)
        found.append(100 * all_scores(confusion)["oa"])
    return found


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, with half the width of the 95 % t-interval of the difference.

    Args:
        table: From `speed_table`.
    """
    rows = []
    for names, group in table.groupby(["case", "shares", "n_eff"], sort=False):
        mean, half = interval(group.difference)
        rows.append(
            {
                **dict(zip(("case", "shares", "n_eff"), names, strict=True)),
                "by samples": group["by samples"].mean(),
                "by speed": group["by speed"].mean(),
                "difference": mean,
                "half": half,
                "seeds": len(group),
            }
        )
    return pd.DataFrame(rows)
