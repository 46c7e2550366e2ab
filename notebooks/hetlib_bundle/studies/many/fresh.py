"""The primary claims on fresh seeds, at rates that were fixed before.

The first runs (`.designs`) searched each rate with few seeds, and judged on ten. They left the
claims open, and said how many seeds would decide. Here every rate is chosen first, on splits of
their own, and then trained with seeds that nothing was chosen on. Shares and what is trained are
those of the claims alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hetlib.inputs import one_of
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.cells import Cell, score_on_test, search_rate, split_of
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.designs import DESIGNS, GLOBAL_BATCH
from hetlib_bundle.studies.many.search import Rate
from hetlib_bundle.studies.many.work import Books

# Raise it when the same settings give other results.
FORMAT = 1

# Shares that a planner makes on a platform of 1:4, and the worst ones of the bundle.
PLANNED = (107, 21)
WORST = (90, 26, 9, 3)

# A rate at which a seed's validation OA is so far below that seed's best has lost it.
LOST = 0.1

SINGLE = Condition("single", (GLOBAL_BATCH,))


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What is trained at a size.

    Attributes:
        recipes: Names.
        steps: Lengths of the trainings, rising.
        judged: Those of them, a short and the longest one, at which scores are compared.
        seeds: Of the runs that are judged.
        search_seeds: Of those that rates are chosen on.
        together: Seeds that are trained, and kept, at a time.
    """

    recipes: tuple[str, ...]
    steps: tuple[int, ...]
    judged: tuple[int, ...]
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    together: int

    def blocks(self) -> Iterator[tuple[int, ...]]:
        """Yield the seeds that are trained together."""
        for begin in range(0, len(self.seeds), self.together):
            yield self.seeds[begin : begin + self.together]

    def trained(self) -> list["Trained"]:
        """Return what is trained of a recipe."""
        longest = self.steps[-1]
        found = []
        for steps in self.steps:
            found.append(Trained(SINGLE, steps))
            found.append(Trained(Condition("plain", PLANNED), steps))
        for shares in (PLANNED, WORST):
            control = Condition("small", shares)
            for steps in self.judged:
                found.append(Trained(control, steps))
                found.append(Trained(Condition("plain", shares), steps, at=control))
        found.append(Trained(Condition("plain", WORST), longest))
        found.append(Trained(Condition("plain", WORST, "random"), longest))
        found.append(Trained(Condition("balanced", WORST, "random"), longest, at=SINGLE))
        return found


@dataclass(frozen=True)
class Trained:
    """A condition and a length.

    Attributes:
        condition: How the gradient is formed.
        steps: Of the whole training.
        at: The condition whose rate it is trained at; None is its own.
    """

    condition: Condition
    steps: int
    at: Condition | None = None

    @property
    def searched(self) -> Condition:
        """The condition that the rate is searched for."""
        return self.at or self.condition


FRESH = {
    "quick": Fresh(
        recipes=("wake-pixels",),
        steps=(50, 100, 200),
        judged=(200,),
        seeds=tuple(range(1000, 1004)),
        search_seeds=(100, 101),
        together=4,
    ),
    "standard": Fresh(
        recipes=DESIGNS["standard"].recipes,
        steps=(50, 100, 200, 400, 800),
        judged=(200, 800),
        seeds=tuple(range(1000, 1128)),
        search_seeds=tuple(range(100, 108)),
        together=16,
    ),
}
FRESH["full"] = FRESH["standard"]


def fresh_design(profile: str) -> Fresh:
    """Return what is trained at a size.

    Args:
        profile: One of `FRESH`.

    Raises:
        ValueError: There is none of this name.
    """
    one_of("profile", profile, FRESH)
    return FRESH[profile]


def do_fresh(design: Fresh, books: Books, tell: Callable[[str], None] = print) -> None:
    """Do all work of a design that is not done yet, and tell what is done.

    Args:
        design: What there is to do.
        books: One a recipe.
        tell: Takes a line of progress.
    """
    for name, book in books.items():
        for found in design.trained():
            rate_of(design, name, found, book)
        blocks = list(design.blocks())
        for place, seeds in enumerate(blocks, start=1):
            for found in design.trained():
                run_of(design, name, found, seeds, book)
            tell(f"{name}: {place} of {len(blocks)} blocks of seeds")


def _cell(design: Fresh, name: str, condition: Condition, steps: int, seeds: Sequence[int]) -> Cell:
    return Cell(
        recipe=name,
        condition=condition,
        steps=steps,
        seeds=tuple(seeds),
        search_seeds=design.search_seeds,
    )


def rate_of(design: Fresh, name: str, found: Trained, book: Book) -> Rate | None:
    """Return the rate that a search chose, None where it is missing and nothing is computed.

    Args:
        design: With the seeds of the search.
        name: Of the recipe.
        found: What is trained at the rate.
        book: Of the recipe.
    """
    cell = _cell(design, name, found.searched, found.steps, design.search_seeds)
    work = {**cell.work, "what": "fresh rate", "format": FORMAT}
    del work["seeds"]

    def compute() -> dict[str, Any]:
        searched = search_rate(cell)
        return {"search": {"rates": list(searched.rates), "oa": searched.scores.tolist()}}

    record = book.get(work, compute)
    if record is None:
        return None
    return safe_rate(record["search"]["rates"], np.array(record["search"]["oa"]))


def safe_rate(rates: Sequence[float], scores: np.ndarray) -> Rate:
    """Return the best rate among those that lose no seed, one step of the search away from it.

    A rate has lost a seed where its score is more than `LOST` below the best that this seed has at
    any rate: splits differ in how hard they are. The best mean of few seeds may belong to a rate
    that loses one run in ten: such runs end at chance, and no claim about two gradients can be
    judged on them.

    Args:
        rates: That were tried, rising, (R,).
        scores: Of them on validation data, fractions of 1, (R, S): a column a seed.

    Returns:
        The rate with the best mean of those that lose no seed, and whose next higher one loses none
        (or was not tried); the lowest where there is none, which counts as an edge.
    """
    means = scores.mean(1)
    sound = (scores > scores.max(0) - LOST).all(1)
    next_sound = np.append(sound[1:], True)
    allowed = np.flatnonzero(sound & next_sound)
    if not len(allowed):
        return Rate(float(rates[0]), edge=True)
    chosen = int(allowed[means[allowed].argmax()])
    highest = chosen == len(rates) - 1
    lowest = chosen == 0 and means.argmax() == 0
    return Rate(float(rates[chosen]), edge=highest or lowest)


def run_of(
    design: Fresh, name: str, found: Trained, seeds: Sequence[int], book: Book
) -> dict[str, Any] | None:
    """Return the record of a block of runs, None where it is missing and nothing is computed.

    Args:
        design: With the seeds of the search.
        name: Of the recipe.
        found: What is trained.
        seeds: Of the runs.
        book: Of the recipe; the rate is searched first where it is not there.
    """
    searched = rate_of(design, name, found, book)
    if searched is None:
        return None
    cell = _cell(design, name, found.condition, found.steps, seeds)
    work = {**cell.work, "what": "fresh runs", "rate": searched.lr, "format": FORMAT}
    del work["search_seeds"]

    def compute() -> dict[str, Any]:
        [scored] = score_on_test(cell, [searched.lr])
        return {**scored, "chance": _chances(name, seeds), "tested": _tested(name, seeds)}

    return book.get(work, compute)


def _chances(name: str, seeds: Sequence[int]) -> list[float]:
    """Return the share of the most frequent class of each test split."""
    shares = []
    for seed in seeds:
        labels = split_of(name, seed).test.labels
        shares.append(float(np.bincount(labels).max() / len(labels)))
    return shares


def _tested(name: str, seeds: Sequence[int]) -> list[int]:
    """Return the number of test samples of each split."""
    return [len(split_of(name, seed).test.labels) for seed in seeds]
