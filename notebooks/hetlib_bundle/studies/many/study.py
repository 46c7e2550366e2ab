"""What a notebook calls: all runs and optima of a profile, computed here or as recorded."""

from typing import NamedTuple

import pandas as pd
import torch

from hetlib_bundle.kept.source import resolve
from hetlib_bundle.studies.many import tables
from hetlib_bundle.studies.many.book import open_book
from hetlib_bundle.studies.many.designs import design
from hetlib_bundle.studies.many.work import do_all


class Evidence(NamedTuple):
    """What was trained.

    Attributes:
        runs: As `.tables.runs_table`.
        optima: As `.tables.optima_table`.
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
        DatasetNotFoundError: A recipe's data is not part of the clone, and ``HETLIB_DATA`` does not
            have it.
    """
    profile, source = resolve(profile, source)
    size = design(profile)
    books = {name: open_book(name, profile, source) for name in size.recipes}
    if source == "computed":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        do_all(size, books)
        torch.set_num_threads(threads)
    note = ""
    heads = [book.head for book in books.values() if book.head]
    if source == "recorded" and heads:
        found = heads[0]["environment"]
        note = f" Recorded {heads[0]['date'][:10]}, {found['processor']}, torch {found['torch']}."
    return Evidence(
        tables.runs_table(size, books),
        tables.optima_table(size, books),
        tables.missing(size, books),
        note,
    )
