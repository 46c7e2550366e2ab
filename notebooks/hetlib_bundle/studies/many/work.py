"""All work of a size, done or read: cells, floors and optima of every recipe."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.cells import OWN, Cell, run_cell
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.designs import Design
from hetlib_bundle.studies.many.floors import floors, floors_work
from hetlib_bundle.studies.many.optima import optima, optima_work
from hetlib_bundle.studies.many.recipes import recipe

# Shards whose optima are computed; i.i.d. draws end where one process does.
SHARDS = ("random", "region", "class", "half")

# Seconds between lines of progress.
BETWEEN = 20.0

Books = Mapping[str, Book]


def do_all(design: Design, books: Books, tell: Callable[[str], None] = print) -> None:
    """Do all work of a design that is not done yet, and tell how far it is.

    Args:
        design: What there is to do.
        books: One a recipe.
        tell: Takes a line of progress.
    """
    for name in design.recipes:
        floors_of(design, name, books[name])
    missing = [cell for cell in design.cells() if books[cell.recipe].find(cell.work) is None]
    watch = Progress(sum(_size(cell) for cell in missing), tell)
    for steps in design.steps:
        for cell in missing:
            if cell.steps == steps:
                cell_of(cell, books[cell.recipe])
                watch.note(cell)
        # after the first length, which is the most telling one; later they are only found
        _do_optima(design, books)


def _do_optima(design: Design, books: Books) -> None:
    """Compute the optima of all recipes that are not there yet."""
    for name in design.recipes:
        for _ in optima_of(design, name, books[name]):
            pass


class Progress:
    """Tells now and then how far a work is.

    Attributes:
        left: Size of what is not done.
    """

    def __init__(self, size: float, tell: Callable[[str], None]) -> None:
        """Begin a work.

        Args:
            size: Of all of it, in any unit.
            tell: Takes a line.
        """
        self.left = size
        self._tell = tell
        self._began = time.monotonic()
        self._told = self._began
        self._done = 0.0

    def note(self, cell: Cell) -> None:
        """Note that a cell is done, and tell it where nothing was told for a while.

        Args:
            cell: What was trained.
        """
        self._done += _size(cell)
        self.left -= _size(cell)
        now = time.monotonic()
        if now - self._told < BETWEEN:
            return
        self._told = now
        minutes = (now - self._began) / self._done * self.left / 60
        name = cell.condition.name
        self._tell(f"{cell.recipe}, {cell.steps} steps, {name}: {minutes:.0f} minutes left")


def _size(cell: Cell) -> float:
    """Return about how long a cell takes, in no unit."""
    return float(cell.steps * sum(cell.condition.drawn))


def cell_of(cell: Cell, book: Book) -> dict[str, Any] | None:
    """Return a cell's record, None where it is missing and nothing is computed.

    Args:
        cell: What is trained.
        book: Of its recipe; one process's cell of as many steps is computed first.
    """
    return book.get(cell.work, lambda: run_cell(cell, _reference(cell, book)))


def _reference(cell: Cell, book: Book) -> float | None:
    """Return the rate of one process with the whole batch, for as many steps."""
    whole = Condition("single", (cell.condition.global_batch,))
    if cell.condition == whole:
        return None
    single = Cell(
        recipe=cell.recipe,
        condition=whole,
        steps=cell.steps,
        seeds=cell.seeds,
        search_seeds=cell.search_seeds,
    )
    record = cell_of(single, book)
    assert record is not None  # a book that computes has it now
    return float(record["runs"][OWN]["rate"])


def floors_of(design: Design, name: str, book: Book) -> dict[str, Any] | None:
    """Return the record of a recipe's floors.

    Args:
        design: With the seeds, and the trees of the forest.
        name: Of the recipe.
        book: Of the recipe.
    """
    of = (name, design.seeds, design.trees)
    return book.get(floors_work(*of), partial(floors, *of))


def optima_of(design: Design, name: str, book: Book) -> Iterator[dict[str, Any]]:
    """Yield the records of a recipe's optima.

    Args:
        design: With the shares and seeds.
        name: Of the recipe.
        book: Of the recipe.
    """
    for shares in design.closely:
        for sampling in SHARDS:
            if sampling == "region" and not recipe(name).has_places:
                continue
            condition = Condition("plain", shares, sampling)
            work = optima_work(name, condition, design.seeds)
            record = book.get(work, partial(optima, name, condition, design.seeds))
            if record is not None:
                yield record
