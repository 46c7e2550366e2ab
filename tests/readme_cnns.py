"""The README's paragraph on CNNs that are trained from scratch."""

import pandas as pd

from tests.readme_tables import frame, table


def cnns_text() -> list[str]:
    """Return what each condition loses to one process after the longest training, a row each."""
    levels = frame("standard", "21_levels")
    cells = frame("standard", "21_cnns_table")
    steps = levels.steps.max()
    longest = levels[levels.steps == steps].set_index("dataset")
    told = []
    for name, row in longest.iterrows():
        floor = max(row.forest, row.logistic)
        told.append(f"{row.OA:.1f} ± {row['OA ±']:.1f} % on {name} (classical floor {floor:.1f} %)")

    compared = cells[(cells.beside == "single") & (cells.steps == steps)]
    rows = []
    for condition, part in compared.groupby("condition", sort=False):
        by_name = part.set_index("recipe")
        row = [str(condition), f"{part.ratio.iloc[0]:.2f}"]
        for name in longest.index:
            found = by_name.loc[name]
            between = f"{found.low:+.1f} to {found.high:+.1f}"
            row.append(f"{found.effect:+.1f} ({between})")
        rows.append(row)
    head = ["condition", "n_eff/B of a plain mean", *map(str, longest.index)]
    seeds = int(compared.seeds.max())
    ends = _at_the_end(longest, compared)
    text = (
        f"CNNs from scratch (`21_cnns`: virtual replicas, {seeds} seeds, {steps} steps): one "
        f"process reaches {' and '.join(told)}; differences to it in points of OA, with 95 % "
        f"intervals. Without *own rate* at the rate of one process. {ends}"
    )
    return [text, table(head, rows)]


def _at_the_end(longest: pd.DataFrame, compared: pd.DataFrame) -> str:
    """Say how many searched rates are the lowest or the highest tried: a better one may lie beyond.

    Args:
        longest: Scores of one process, a row a data set.
        compared: Differences to it; those of the plain mean at its own rate have the other search.
    """
    own = compared[(compared.kind == "plain") & (compared.role == "own")]
    found = [*longest.edge, *own.groupby("recipe").edges.any()]
    at_the_end = sum(map(bool, found))
    if at_the_end == 0:
        return f"None of the {len(found)} searched rates is the lowest or the highest tried."
    return f"{at_the_end} of the {len(found)} searched rates are the lowest or the highest tried."
