"""Fine-tuning runs: their rates, searched, and their records.

The runs are those of `hetlib.train` with virtual replicas. The plain mean is trained at the rate
that was searched for one process and, with i.i.d. draws, at its own. A rate is searched on
validation data, with i.i.d. draws and seeds that no scored run has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

import hetlib
from hetlib.balanced.shares import slashed
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord
from hetlib_bundle.studies.finetune import NORMS, OWN, ROLES, SHARDS, WINDOW, Case, Depth
from hetlib_bundle.studies.many.search import best_of, search

# What a search is for: fields of `Case`.
SEARCH = ["part", "statistics", "strategy", "shares"]

# Records by whose rate they have.
ByRole: TypeAlias = dict[str, list[RunRecord]]


def experiment(base: Experiment, case: Case, rate: float, seed: int) -> Experiment:
    """Return a run.

    Args:
        base: Data, network and length.
        case: What is trained.
        rate: Peak learning rate.
        seed: Of weights, order and split.
    """
    data = {**base.dataset_options, "seed": seed}
    if case.draws == SHARDS:
        data["shards"] = "class"
    norm = NORMS[case.statistics]
    return replace(
        base,
        strategy=case.strategy,
        shares=case.shares,
        lr=rate,
        seed=seed,
        dataset_options=data,
        model_options={**base.model_options, "part": case.part, "norm": norm},
    )


def team(shares: Sequence[int]) -> hetlib.VirtualReplicas:
    """Return replicas whose speeds are in the ratio of the shares.

    Args:
        shares: One a replica.
    """
    slowdowns = [max(shares) / share for share in shares]
    return hetlib.VirtualReplicas(hetlib.Platform.emulated(slowdowns))


def searched(depths: Sequence[Depth], store: Path | None) -> pd.DataFrame:
    """Search all rates.

    Args:
        depths: What is trained.
        store: Folder of single records, in which finished runs are looked up.

    Returns:
        A row a trial: the fields of its `Case`, ``lr``, ``seed``, and ``OA`` on validation data in
        percent.
    """
    rows: list[dict[str, Any]] = []
    for depth in depths:
        for case in depth.searches():
            rows += _trials(depth, case, store)
    table = pd.DataFrame(rows)
    return table.assign(shares=table.shares.map(slashed))


def _trials(depth: Depth, case: Case, store: Path | None) -> Iterator[dict[str, Any]]:
    """Search the rate of one case, and yield a row a trial."""

    def score(rates: Sequence[float]) -> np.ndarray:
        return np.array([_validated(depth, case, rate, store) for rate in rates])

    result = search(score, depth.grid)
    for rate, scores in zip(result.rates, result.scores, strict=True):
        for seed, score_of_seed in zip(depth.search_seeds, scores, strict=True):
            yield {**case._asdict(), "lr": rate, "seed": seed, "OA": float(score_of_seed)}


def _validated(depth: Depth, case: Case, rate: float, store: Path | None) -> list[float]:
    """Return the OA on validation data with a rate, one a seed of the search, in percent."""
    scores = []
    for seed in depth.search_seeds:
        run = replace(experiment(depth.base, case, rate, seed), evaluate_split="validation")
        record = hetlib.train(run, team(case.shares), store=store)
        scores.append(100 * record.scores["oa"])
    return scores


def rates_table(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the rate that each search chose.

    Args:
        trials: From `searched`.

    Returns:
        A row a search: ``part``, ``statistics``, ``strategy``, ``shares``; ``lr``, the rate with
        the best mean; ``OA``, that mean; ``edge``, whether it is the lowest or the highest tried.
    """
    rows = []
    for names, found in trials.groupby(SEARCH, sort=False):
        means = found.groupby("lr").OA.mean()
        best = best_of(means.index.tolist(), means.to_numpy())
        searched_for = dict(zip(SEARCH, names, strict=True))
        rows.append({**searched_for, "lr": best.lr, "OA": float(means.max()), "edge": best.edge})
    return pd.DataFrame(rows)


def rate_of(rates: pd.DataFrame, role: str, case: Case) -> float:
    """Return the peak learning rate of a run.

    Args:
        rates: From `rates_table`.
        role: Whose rate, of `ROLES`.
        case: What is trained.
    """
    source = case.searched() if role == OWN else case.reference()
    wanted = (source.part, source.statistics, source.strategy, slashed(source.shares))
    return float(rates.set_index(SEARCH).lr.loc[wanted])


def trained(depths: Sequence[Depth], rates: pd.DataFrame, store: Path | None) -> ByRole:
    """Train all cases, seed by seed.

    Args:
        depths: What is trained.
        rates: From `rates_table`.
        store: Folder of single records, in which finished runs are looked up.

    Returns:
        Records by whose rate they have.
    """
    found: ByRole = {role: [] for role in ROLES}
    for depth in depths:
        for seed in depth.seeds:
            for role, case in depth.cases():
                run = experiment(depth.base, case, rate_of(rates, role, case), seed)
                found[role].append(hetlib.train(run, team(case.shares), store=store))
    return found


def told(records: Sequence[RunRecord]) -> str:
    """Return what was trained on what, and how long, for captions.

    Args:
        records: All runs.
    """
    parts: dict[str, set[int]] = {}
    for record in records:
        run = record.experiment
        images = f"{run['dataset_options'].get('size', WINDOW)} pixels, {run['epochs']} epochs"
        name = f"{run['model_options']['part']}, {images}"
        parts.setdefault(name, set()).add(run["seed"])
    listed = "; ".join(f"{name}, seeds: {len(seeds)}" for name, seeds in parts.items())
    pretrained = records[0].experiment["model_options"]["pretrained"]
    weights = "ImageNet's" if pretrained else "random"
    return f"EfficientNet-Lite0 with {weights} weights at first, {records[0].data_name} ({listed})"
