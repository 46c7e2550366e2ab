"""What the maps and the trainings with shards show, in sentences, each number from a table."""

import pandas as pd

from hetlib_bundle.studies.many.tables import AT_CHANCE

# Kinds of sampling, in the order of the maps.
DRAWN = {"iid": "i.i.d. draws", "random": "random shards", "class": "class shards"}

# What the plain mean with shards is compared with.
BESIDE = {"balanced": "the balanced gradient", "random": "the plain mean with random shards"}


def maps_sentences(table: pd.DataFrame) -> list[str]:
    """Return what the maps show at own rates, a sentence for each kind of sampling.

    Args:
        table: From `.regime.regime_table`.
    """
    own = table[(table.role == "own") & (table[AT_CHANCE] == 0)]
    sentences = []
    for sampling, name in DRAWN.items():
        found = own[own.sampling == sampling]
        parts = [_length(str(steps), part) for steps, part in found.groupby("steps")]
        if parts:
            sentences.append(
                f"**Map, {name}.** The plain mean minus one process, each at its own rate, over "
                f"the cells without a run at chance: {'; '.join(parts)}."
            )
    return sentences


def _length(steps: str, part: pd.DataFrame) -> str:
    """Say what the cells of one length show."""
    below = int((part.high < 0).sum())
    return (
        f"after {steps} steps {_means(part)}, with the interval below 0 in {below} of {len(part)} "
        "cells"
    )


def _means(part: pd.DataFrame) -> str:
    """Return the range of the means as text."""
    lowest = part.effect.min()
    highest = part.effect.max()
    if len(part) == 1:
        return f"{lowest:+.1f} points"
    return f"{lowest:+.1f} to {highest:+.1f} points"


def lasting_sentences(table: pd.DataFrame, steps: int, shares: str) -> list[str]:
    """Return what lasts with shards, a sentence for each thing that it is compared with.

    Args:
        table: From `.tables.shards_table`.
        steps: Length of the trainings.
        shares: Such as "90/26/9/3".
    """
    here = (table.steps == steps) & (table.shares == shares) & (table.sampling != "iid")
    known = table[here & (table[AT_CHANCE] == 0)]
    sentences = []
    for beside, name in BESIDE.items():
        found = known[known.beside == beside]
        parts = []
        for sampling, part in found.groupby("sampling", sort=False):
            below = int((part.high < 0).sum())
            parts.append(
                f"{sampling} {_means(part)}, with the interval below 0 on {below} of {len(part)} "
                "data sets"
            )
        if parts:
            sentences.append(
                f"**Shards, {shares}, {steps} steps.** The plain mean minus {name}, by kind of "
                f"shard, without what has a run at chance: {'; '.join(parts)}."
            )
    return sentences
