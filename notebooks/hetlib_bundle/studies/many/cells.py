"""A cell: a condition trained for a number of steps, at its own searched rate and at another's."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from hetlib.inputs import whole
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.draws import draw
from hetlib_bundle.studies.many.engine import Layers, perceptron, stack, train
from hetlib_bundle.studies.many.recipes import recipe
from hetlib_bundle.studies.many.samples import (
    SCORES,
    Samples,
    Split,
    all_scores,
    confusions,
    mean_losses,
)
from hetlib_bundle.studies.many.search import Found, Grid, Rate, search

# Raise it when the same settings give other results.
FORMAT = 1

# Splits of all recipes that are held at a time.
HELD = 32

# Rates of a cell's runs on test data.
OWN = "own"
REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is trained.

    Attributes:
        recipe: Name of the data set with its network.
        condition: How the gradient is formed.
        steps: Of the whole training.
        seeds: Of the runs that are scored on test data; split, weights and order.
        search_seeds: Of the runs that the rate is chosen on.
    """

    recipe: str
    condition: Condition
    steps: int
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        recipe(self.recipe)
        whole("steps", self.steps, low=1)
        if not self.seeds or not self.search_seeds:
            raise ValueError("`seeds` and `search_seeds` must have one seed each at least.")

    @property
    def work(self) -> dict[str, Any]:
        """All that decides the cell's result, as records keep it."""
        how = recipe(self.recipe)
        return {
            "what": "cell",
            "recipe": self.recipe,
            "hidden": list(how.hidden),
            **asdict(how.descent),
            "middle_rate": how.middle_rate,
            "kind": self.condition.kind,
            "sampling": self.condition.sampling,
            "shares": list(self.condition.shares),
            "steps": self.steps,
            "seeds": list(self.seeds),
            "search_seeds": list(self.search_seeds),
            "format": FORMAT,
        }


@lru_cache(HELD)
def split_of(name: str, seed: int) -> Split:
    """Return the split of a recipe's data that a seed draws.

    Args:
        name: Of the recipe.
        seed: Of the split.
    """
    return recipe(name).load(seed)


def run_cell(cell: Cell, reference: float | None = None) -> dict[str, Any]:
    """Search the cell's rate, then train at it, and at the reference's, and score on test data.

    The balanced gradient is that of one process, and so is its rate: none is searched for it.

    Args:
        cell: What is trained.
        reference: Rate that one process with the whole batch has for as many steps; None in the
            cell of that process itself.

    Returns:
        ``search`` (rates, validation OA), ``rate``, ``edge``, ``reference``, ``runs`` by `OWN` and
        `REFERENCE`, ``n_eff``, and the seconds of CPU.
    """
    began = time.process_time()
    if cell.condition.kind == "balanced" and reference is not None:
        found = Found((reference,), np.empty((1, 0)))
        best = Rate(reference, edge=False)
    else:
        found = search_rate(cell)
        best = found.best
    rates = [best.lr]
    if reference is not None and reference != best.lr:
        rates.append(reference)
    scored = score_on_test(cell, rates)
    runs = {OWN: scored[0], REFERENCE: scored[-1]}
    return {
        "n_eff": cell.condition.n_eff,
        "search": {"rates": list(found.rates), "oa": found.scores.tolist()},
        "rate": best.lr,
        "edge": best.edge,
        "reference": best.lr if reference is None else reference,
        "runs": runs,
        "seconds": time.process_time() - began,
    }


def search_rate(cell: Cell) -> Found:
    """Search the rate of a cell on validation data.

    Args:
        cell: What is trained.
    """
    splits = [split_of(cell.recipe, seed) for seed in cell.search_seeds]

    def validate(rates: Sequence[float]) -> np.ndarray:
        layers = train_cell(cell, cell.search_seeds, rates)
        columns = []
        for position, split in enumerate(splits):
            found = confusions(layers, position, split.validation, split.classes)
            columns.append([all_scores(confusion)["oa"] for confusion in found])
        return np.array(columns).T

    return search(validate, Grid(middle=recipe(cell.recipe).middle_rate))


def score_on_test(cell: Cell, rates: Sequence[float]) -> list[dict[str, Any]]:
    """Train at some rates and score on test data.

    Args:
        cell: What is trained.
        rates: Peak learning rates.

    Returns:
        For each rate: ``rate``, and lists of `SCORES` and the mean training ``loss``, a value a
        seed.
    """
    layers = train_cell(cell, cell.seeds, rates)
    found: list[dict[str, Any]] = []
    for rate in rates:
        lists: dict[str, list[float]] = {name: [] for name in (*SCORES, "loss")}
        found.append({"rate": rate, **lists})
    for position, seed in enumerate(cell.seeds):
        split = split_of(cell.recipe, seed)
        matrices = confusions(layers, position, split.test, split.classes)
        losses = mean_losses(layers, position, split.train)
        for run, confusion, loss in zip(found, matrices, losses, strict=True):
            for name, value in all_scores(confusion).items():
                run[name].append(value)
            run["loss"].append(_finite(loss))
    return found


def _finite(loss: float) -> float:
    """Return a loss that JSON knows: a network that went off counts as one of a very large loss."""
    return float(np.nan_to_num(loss, nan=1e9, posinf=1e9))


def train_cell(cell: Cell, seeds: Sequence[int], rates: Sequence[float]) -> Layers:
    """Train a cell's networks.

    Args:
        cell: What is trained.
        seeds: Of split, weights and order, (S,).
        rates: Peak learning rates, (R,).

    Returns:
        The layers, (S, R, ...).
    """
    how = recipe(cell.recipe)
    splits = [split_of(cell.recipe, seed) for seed in seeds]
    networks = []
    for split, seed in zip(splits, seeds, strict=True):
        networks.append(perceptron(how.sizes(split), seed))
    layers = stack(networks, len(rates))
    rows = []
    for split, seed in zip(splits, seeds, strict=True):
        rows.append(draw(cell.condition, split.train, cell.steps, seed))
    train(
        layers,
        batches([split.train for split in splits], rows),
        steps=cell.steps,
        rates=rates,
        weights=cell.condition.sample_weights(),
        descent=how.descent,
    )
    return layers


def batches(
    samples: Sequence[Samples], rows: Sequence[np.ndarray]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the samples of each step, inputs (S, n, features) and labels (S, n).

    Args:
        samples: To train on, of each seed.
        rows: Of the inputs in each step, (steps, n), of each seed.
    """
    labels = [torch.from_numpy(each.labels) for each in samples]
    indices = [torch.from_numpy(each) for each in rows]
    for step in range(len(rows[0])):
        inputs = []
        targets = []
        for each, known, index in zip(samples, labels, indices, strict=True):
            chosen = index[step]
            inputs.append(each.inputs[chosen])
            targets.append(known[chosen % len(known)])
        yield torch.stack(inputs), torch.stack(targets)
