"""What every notebook opens with: its size, what it keeps, and where its products go.

    study = open_study("07", profile, source, shares=shares, lrs=lrs)
    records = study.keep("runs", lambda: train_all(runs))
    study.save_table(table, "07_accuracy_table", caption=caption, records=records)

The helpers that most cells use are imported from here, too, so that a notebook names this module,
the one of its own study, and the library. As it does so, its parameters that papermill gave as text
get the types of its first cell.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.claims.letter import load_reported
from hetlib_bundle.claims.verdict import interval, verdict
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import Keeper, keeper
from hetlib_bundle.profiles import Profile, chosen, get_profile
from hetlib_bundle.running.parameters import read_parameters
from hetlib_bundle.running.widgets import interact

__all__ = [
    "Study",
    "chosen",
    "interact",
    "interval",
    "load_reported",
    "open_study",
    "slashed",
    "verdict",
]

if hasattr(sys.modules["__main__"], "get_ipython"):  # in a notebook, whose names are those of it
    read_parameters(vars(sys.modules["__main__"]))


@dataclass(frozen=True)
class Study:
    """One notebook at work.

    Attributes:
        keep: Called with a name and a function, it computes and keeps, or reads what was recorded.
        size: How much the notebook computes where its parameters do not say otherwise.
    """

    keep: Keeper
    size: Profile

    @property
    def profile(self) -> str:
        """Name of the size: quick, standard or full."""
        return self.keep.profile

    @property
    def store(self) -> Path:
        """Folder of single run records, shared by the notebooks."""
        return self.keep.store

    @property
    def results(self) -> Path:
        """Folder that tables, figures and other products go to."""
        return paths.RESULTS / self.keep.folder

    def save_table(
        self,
        table: pd.DataFrame,
        name: str,
        *,
        caption: str,
        records: Sequence[RunRecord] = (),
        digits: int = 3,
    ) -> None:
        """Write a table as CSV and LaTeX.

        Args:
            table: Its rows; the index is left out.
            name: Of the files, without an ending.
            caption: What the table shows; where records are read, a note of them is added.
            records: The runs behind it.
            digits: Of a number in LaTeX; the CSV has all.
        """
        products.save_table(
            table,
            name,
            caption=caption,
            keep=self.keep,
            records=records,
            digits=digits,
        )

    def save_figure(
        self,
        figure: Figure,
        name: str,
        *,
        caption: str,
        records: Sequence[RunRecord] = (),
    ) -> None:
        """Write a figure as PDF and PNG.

        Args:
            figure: As it is to be printed.
            name: Of the files, without an ending.
            caption: What the figure shows; where records are read, a note of them is added.
            records: The runs behind it.
        """
        products.save_figure(figure, name, caption=caption, keep=self.keep, records=records)

    def environment(self) -> pd.DataFrame:
        """Return this machine and its packages, and beside them what the records were made on."""
        return self.keep.environment()


def open_study(
    notebook: str,
    profile: str = "",
    source: str = "",
    *,
    asked: Sequence[str] = (),
    **parameters: Any,
) -> Study:
    """Open a notebook's study.

    Args:
        notebook: Its number, or "*" where it reads what all the others left.
        profile: Size; empty: quick, or standard where records are read.
        source: "computed" or "recorded"; empty: ``HETLIB_SOURCE``, or computed.
        asked: Data sets, CNNs or settings in place of the profile's, whose results have a folder of
            their own.
        parameters: The notebook's own, which decide its values: records are read only where they
            were made with the same.

    Raises:
        ValueError: An unknown profile or source.
    """
    keep = keeper(notebook, profile, source, asked, **parameters)
    return Study(keep, get_profile(keep.profile))
