"""What a notebook calls: all runs and optima of a profile, computed here or as recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pandas as pd
import torch

from hetlib_bundle.kept.keeper import recorded_on
from hetlib_bundle.kept.source import resolve
from hetlib_bundle.studies.many import tables
from hetlib_bundle.studies.many.book import open_book
from hetlib_bundle.studies.many.designs import design
from hetlib_bundle.studies.many.endings import optima_table
from hetlib_bundle.studies.many.work import Books, do_all


class Evidence(NamedTuple):
    """What was trained.

    Attributes:
        runs: As `.tables.runs_table`.
        optima: As `.endings.optima_table`.
        missing: Cells of the design that are not recorded yet.
        note: Sentence for captions: when and on what the records were made; "" where the values
            were computed.
    """

    runs: pd.DataFrame
    optima: pd.DataFrame
    missing: int
    note: str


def evidence(profile: str = "", source: str = "") -> Evidence:
    """Return all runs and optima of a profile.

    What is computed is kept line by line in ``results/<profile>/many``: a run that was stopped goes
    on where it was.

    Args:
        profile: Size; empty: quick, or standard where records are read.
        source: "computed" or "recorded"; empty: ``HETLIB_SOURCE``, or computed.

    Raises:
        ValueError: An unknown profile or source.
        FileNotFoundError: There is no record.
        DatasetNotFoundError: A recipe's data is not part of the clone, and ``HETLIB_DATA`` does not
            have it.
    """
    profile, source = resolve(profile, source)
    size = design(profile)
    books = {name: open_book(name, profile, source) for name in size.recipes}
    if source == "computed":
        with one_thread():
            do_all(size, books)
    runs = tables.runs_table(size, books)
    if runs.empty:
        folder = next(iter(books.values())).path.parent
        raise FileNotFoundError(
            f'no record in {folder}; take another profile, or source="computed" to compute it here.'
        )
    return Evidence(
        runs,
        optima_table(size, books),
        tables.missing(size, books),
        made(books, source),
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread: small networks are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def made(books: Books, source: str) -> str:
    """Return when and on what records were made, as a sentence for captions.

    Args:
        books: One a recipe.
        source: "recorded", or "computed", of which nothing is said.
    """
    if source != "recorded":
        return ""
    return recorded_on([book.head for book in books.values() if book.head])
