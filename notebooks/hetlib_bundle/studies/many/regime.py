"""The map of regimes: what the plain mean loses, over the length of the training and n_eff / B."""

from collections.abc import Sequence

import pandas as pd

from hetlib import partition
from hetlib_bundle.studies.many.designs import MAPPED
from hetlib_bundle.studies.many.measured import measured
from hetlib_bundle.studies.many.tables import AT_CHANCE, chosen, differences, summary


def is_planned(shares: Sequence[int]) -> bool:
    """Return whether a plan by the recorded step model would leave no replica of these out.

    A plan that was told to keep every replica, or one by other times, can still make the others.

    The replicas are as slow as makes these shares the fastest ones, by the recorded step model of
    the bundle's small CNN. A further replica adds as much to the exchange as the second one did
    there; one whose share spares less than that is left out.

    Args:
        shares: Samples of each replica in a step.
    """
    recorded = measured()
    model = recorded.models[0]
    longest = model.time(max(shares))
    models = [model.slowed(longest / model.time(share)) for share in shares]
    plan = partition(models, sum(shares), communication=lambda k: (k - 1) * recorded.exchange)
    return min(plan.shares) > 0


def regime_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the map: the test OA of the plain mean minus that of one process.

    Args:
        runs: From `.tables.runs_table`.

    Returns:
        A row a recipe, sampling, role of the rate, shares and length: as `.tables.summary`, with
        ``ratio`` (n_eff / B), ``theory`` (the same difference for one process with the batch
        round(n_eff), at its own rate or the reference's; nan where a run of it is at chance) and
        ``planned``.
    """
    single = chosen(runs, "single")
    by = ["recipe", "sampling", "role", "shares", "steps"]
    parts = []
    for role in ("own", "reference"):
        small = differences(chosen(runs, "small", role=role), single)
        theory = summary(small, ["recipe", "shares", "steps"])
        theory["effect"] = theory.effect.where(theory[AT_CHANCE] == 0)
        theory = theory[["recipe", "shares", "steps", "effect"]]
        theory = theory.rename(columns={"effect": "theory"})
        for sampling in MAPPED:
            plain = chosen(runs, "plain", sampling, role)
            if plain.empty:
                continue
            found = summary(differences(plain, single), by)
            parts.append(found.merge(theory, how="left"))
    table = pd.concat(parts, ignore_index=True)
    ratios = runs.groupby("shares").ratio.first()
    planned = {shares: is_planned(_numbers(shares)) for shares in table.shares.unique()}
    return table.assign(
        ratio=table.shares.map(ratios),
        planned=table.shares.map(planned),
    )


def _numbers(shares: str) -> list[int]:
    return [int(share) for share in shares.split("/")]
