"""The table of exact optima: what the plain mean over fixed shards loses in the end."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies.many.conditions import n_eff_ratio
from hetlib_bundle.studies.many.designs import Design
from hetlib_bundle.studies.many.tables import POINTS
from hetlib_bundle.studies.many.work import Books, optima_of


def optima_table(design: Design, books: Books) -> pd.DataFrame:
    """Return what the exact optima of linear networks lose by the plain mean.

    Args:
        design: Which shares and seeds.
        books: One a recipe.

    Returns:
        A row a recipe, shares, sampling, ``n_eff/B`` (of the plain mean), ``score`` ("oa", "aa",
        "worst") and ``beside``, as in `.tables.shards_table`: the paired ``difference`` with
        ``low`` and ``high`` in points, the ``spread`` (standard deviation over seeds, that is over
        which classes or regions the slow replicas have), the ``balanced`` score, and ``fit``, the
        balanced training OA.
    """
    rows = []
    for name in design.recipes:
        records = list(optima_of(design, name, books[name]))
        controls = {slashed(r["shares"]): r for r in records if r["sampling"] == "random"}
        for record in records:
            shares = slashed(record["shares"])
            about = {"recipe": name, "shares": shares, "sampling": record["sampling"]}
            about["n_eff/B"] = n_eff_ratio(record["shares"])
            beside = {"balanced": record["balanced"]}
            if record["sampling"] != "random" and shares in controls:
                beside["random"] = controls[shares]["plain"]
            for control, reference in beside.items():
                for row in _optima_rows(record, reference):
                    rows.append({**about, "beside": control, **row})
    return pd.DataFrame(rows)


def _optima_rows(
    record: Mapping[str, Any], reference: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row a score of a record of optima."""
    for score in ("oa", "aa", "worst"):
        difference = POINTS * (np.array(record["plain"][score]) - np.array(reference[score]))
        mean, half = interval(difference)
        yield {
            "score": score,
            "difference": mean,
            "low": mean - half,
            "high": mean + half,
            "spread": float(np.std(difference, ddof=1)),
            "balanced": POINTS * float(np.mean(record["balanced"][score])),
            "fit": POINTS * float(np.mean(record["balanced"]["fit"])),
            "seeds": len(difference),
        }
