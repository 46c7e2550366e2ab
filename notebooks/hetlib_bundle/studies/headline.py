"""The main result, from the records that come with the bundle: the map of regimes and its words."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from hetlib_bundle import paths
from hetlib_bundle.studies import fresh_words
from hetlib_bundle.studies.many.fresh_tables import fresh_runs
from hetlib_bundle.studies.many.regime import regime_table
from hetlib_bundle.studies.many.study import evidence

# Whose records are drawn, whatever a notebook computes.
PROFILE = "standard"

# The one that is drawn first: its data is part of the clone.
RECIPE = "brandenburg-pixels"

# What is true of hatched shares; see `.many.regime.is_planned`.
HATCHED = "by the step model of 01_platform, a slow device is better left out"

# What a map shows, for captions.
LEGEND = (
    "Numbers where the 95 % interval over seeds does not hold 0, not corrected for the number of "
    f"cells; grey with †: a run is at chance; hatched: {HATCHED}; white: not recorded. "
    "Below the lines one process with a batch of n_eff loses more than 1 (dotted) and 3 points."
)

# Points of OA within which two trainings count as alike.
NEAR = 1.0

# Said where there is no record.
MISSING = "No records of the map are here; `15_regime` makes them."


class Headline(NamedTuple):
    """The recorded map.

    Attributes:
        table: As `.many.regime.regime_table`.
        recipe: The one to draw.
        about: Seeds, replicas and profile, for captions.
        missing: Cells of the design that are not recorded yet.
        fresh: What the runs on fresh seeds show, a sentence an entry.
    """

    table: pd.DataFrame
    recipe: str
    about: str
    missing: int
    fresh: Sequence[str] = ()


def trained() -> pd.DataFrame | None:
    """Return the recorded runs as `.many.tables.runs_table`; None where there are none."""
    if not _has_records():
        return None
    return evidence(PROFILE, "recorded").runs


def floors_of(recipe: str) -> pd.DataFrame | None:
    """Return what classical methods and a guess get on a recipe's splits; None without records.

    Args:
        recipe: By name.

    Returns:
        By seed: ``forest``, ``logistic``, ``floor`` (the better one) and ``chance``, in percent.
    """
    runs = trained()
    if runs is None:
        return None
    own = runs[runs.recipe == recipe]
    return own.groupby("seed")[["forest", "logistic", "floor", "chance"]].first()


def _has_records() -> bool:
    return bool(list((paths.RECORDED / PROFILE / "many").glob("*.jsonl")))


def recorded() -> Headline | None:
    """Return the recorded map; None where there are no records of it."""
    if not _has_records():
        return None
    found = evidence(PROFILE, "recorded")
    seeds = found.runs.seed.nunique()
    about = f"{seeds} seeds, virtual replicas, records of the profile {PROFILE}"
    return Headline(
        regime_table(found.runs),
        recipe=RECIPE,
        about=about,
        missing=found.missing,
        fresh=fresh_words.sentences(fresh_runs(PROFILE, "recorded").runs),
    )


def sentences(known: Headline | None) -> list[str]:
    """Return what the maps of all recipes show, a sentence an entry, each number from the table.

    Args:
        known: From `recorded`.
    """
    if known is None:
        return [MISSING]
    every = known.table[known.table.role == "own"]
    own = every[every["at chance"] == 0]
    told = [*known.fresh, _lost(own), _with_shards(own)]
    if len(own) < len(every):
        told.append(
            f"{len(every) - len(own)} of {len(every)} cells have a run that is at chance at the "
            "rate that was best on validation data. They are left out of these sentences, and "
            "marked in the map."
        )
    if known.missing:
        told.append(
            f"{known.missing} cells of the design are not recorded yet: the longest trainings come "
            "last."
        )
    return told


def _drawn(own: pd.DataFrame, sampling: str = "iid") -> pd.DataFrame:
    """Return the cells of one kind of sampling."""
    return own[own.sampling == sampling]


def _lost(own: pd.DataFrame) -> str:
    """Say what the plain mean loses over independent draws, by what the shares are worth."""
    drawn = _drawn(own)
    planned = drawn[drawn.planned]
    refused = drawn[~drawn.planned]
    return (
        "**Over the map** (`15_regime`; a cell is a data set, shares and a length), the plain mean "
        "over independent draws, at a rate of its own, is compared with one process, by 95 % "
        "intervals that are not corrected for the number of cells. With shares that are worth "
        f"their slow device, by the step model of `01_platform`, they are {_near(planned)}. With "
        f"those where a slow device is better left out, they are {_near(refused)}. The largest "
        "mean losses are "
        f"{_most(planned)} and {_most(refused)}."
    )


def _near(part: pd.DataFrame) -> str:
    """Return how many cells are near, by the whole of their intervals, as text."""
    inside = int(((part.low > -NEAR) & (part.high < NEAR)).sum())
    outside = int(((part.low > NEAR) | (part.high < -NEAR)).sum())
    unclear = len(part) - inside - outside
    return (
        f"within {NEAR:g} point of each other in {inside} of {len(part)} cells, further apart in "
        f"{outside}, and the interval does not tell in {unclear}"
    )


def _most(part: pd.DataFrame) -> str:
    """Return the largest loss as text."""
    worst = part.sort_values("effect").iloc[0]
    return (
        f"{worst.effect:+.1f} points ({worst.recipe}, {worst.shares}, {worst.steps} steps; "
        f"{worst.low:+.1f} to {worst.high:+.1f})"
    )


def _with_shards(own: pd.DataFrame) -> str:
    """Say what a part of the data for each replica costs the longest trainings of a recipe."""
    longest = own[own.steps == own.groupby(["recipe", "shares"]).steps.transform("max")]
    place = ["recipe", "shares", "steps"]
    drawn = _drawn(longest)[[*place, "effect"]]
    parts = []
    for sampling in ("random", "class"):
        both = _drawn(longest, sampling).merge(drawn, on=place, suffixes=("", " drawn"))
        lost = both["effect drawn"] - both.effect
        worst = both.assign(lost=lost).sort_values("lost").iloc[-1]
        parts.append(
            f"{sampling} shards {lost.mean():.1f} points on average and {lost.max():.1f} at most "
            f"({worst.recipe}, {worst.shares})"
        )
    return (
        "**Kinds of shards.** What shards cost the plain mean beyond independent draws, in OA of "
        f"the longest trainings: {', '.join(parts)}. These are means over seeds, without an "
        "interval."
    )
