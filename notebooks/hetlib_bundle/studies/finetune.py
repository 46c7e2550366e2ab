"""A pretrained CNN is fine-tuned over uneven shares: whole or its last block, whose statistics.

The runs are those of `hetlib.train` with virtual replicas. The plain mean is trained at the rate
that was searched for one process and, with i.i.d. draws, at its own. A rate is searched on
validation data, with i.i.d. draws and seeds that no scored run has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

import hetlib
from hetlib.datasets.catalog import DATASETS, find_root
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import one_of
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord
from hetlib_bundle.studies.many.recipes import WAKE_CLASSES
from hetlib_bundle.studies.many.search import Grid, search
from hetlib_bundle.studies.many.tables import slashed
from hetlib_bundle.studies.tuned import FROZEN, LAST_BLOCK, WHOLE, weights_found

GLOBAL_BATCH = 128

# Shares that no planner would make.
WORST = (90, 26, 9, 3)

# Whose statistics BatchNorm takes, by the words of the tables.
NORMS = {"frozen": FROZEN, "local": "batch", "pooled": "pooled", "balanced": "balanced"}

SINGLE = "single"
PLAIN = "uneven-plain"
BALANCED = "balanced"

# Whose learning rate a run has: that of one process, or of the plain mean itself.
OF_SINGLE = "one process's"
OWN = "own"
ROLES = (OF_SINGLE, OWN)

IID = "i.i.d."
SHARDS = "shards"
DRAWS = (IID, SHARDS)

# What a search is for: fields of `Case`.
SEARCH = ["part", "statistics", "strategy", "shares"]

# Records by whose rate they have.
ByRole: TypeAlias = dict[str, list[RunRecord]]

# Of 2,160 images, and windows of a class, so that the last batch of an epoch is nearly as large as
# the others: local BatchNorm would see a single image of a slow replica there.
FRACTIONS = (0.592, 0.148, 0.26)
PER_CLASS = 25

# Height and width of the windows, in pixels.
WINDOW = 16


class Case(NamedTuple):
    """What is trained, but for the seed and the rate.

    Attributes:
        part: Of the network, of `.tuned.PARTS`.
        statistics: Of `NORMS`.
        strategy: `SINGLE`, `PLAIN` or `BALANCED`.
        shares: Of the replicas; of one process the global batch.
        draws: Of `DRAWS`.
    """

    part: str
    statistics: str
    strategy: str = SINGLE
    shares: tuple[int, ...] = (GLOBAL_BATCH,)
    draws: str = IID

    @property
    def is_one_process(self) -> bool:
        """Whether the balanced gradient does here what one process does, to rounding."""
        return self.draws == IID and self.statistics in ("frozen", "balanced")

    def reference(self) -> "Case":
        """Return the run of one process that it is compared with."""
        frozen = self.statistics == "frozen"
        return Case(self.part, "frozen" if frozen else "local")

    def searched(self) -> "Case":
        """Return the case whose search gives a plain mean its own rate.

        Pooled statistics are those of the same training as local ones.
        """
        pooled = self.statistics == "pooled"
        return self._replace(statistics="local" if pooled else self.statistics)


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much of one part is trained.

    Attributes:
        base: Data, network and length of its runs.
        part: Of the network.
        shares: Of the platforms.
        statistics: Of `NORMS`.
        draws: Of `DRAWS`.
        roles: Of `ROLES`: whose rates the plain mean gets; its own with i.i.d. draws alone, with
            which it is searched.
        seeds: Of weights, order and split.
        search_seeds: Of the runs that choose rates.
        grid: Of the rates.
    """

    base: Experiment
    part: str
    shares: tuple[tuple[int, ...], ...]
    statistics: tuple[str, ...]
    draws: tuple[str, ...] = DRAWS
    roles: tuple[str, ...] = ROLES
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    grid: Grid

    def searches(self) -> list[Case]:
        """Return the cases that a rate is searched for."""
        found = [Case(self.part, statistics) for statistics in ("frozen", "local")]
        if OWN not in self.roles:
            return found
        for shares in self.shares:
            for statistics in self.statistics:
                found.append(Case(self.part, statistics, PLAIN, shares).searched())
        return list(dict.fromkeys(found))

    def cases(self) -> list[tuple[str, Case]]:
        """Return whose rate a run has, and what it is, one process first."""
        found = [(OF_SINGLE, Case(self.part, statistics)) for statistics in ("frozen", "local")]
        for shares in self.shares:
            for draws in self.draws:
                for statistics in self.statistics:
                    plain = Case(self.part, statistics, PLAIN, shares, draws)
                    found.append((OF_SINGLE, plain))
                    if OWN in self.roles and draws == IID:
                        found.append((OWN, plain))
                    if not plain.is_one_process:
                        found.append((OF_SINGLE, plain._replace(strategy=BALANCED)))
        return found


def has_eurosat() -> bool:
    """Say whether ``HETLIB_DATA`` has EuroSAT."""
    try:
        find_root("eurosat", DATASETS["eurosat"].places)
    except DatasetNotFoundError:
        return False
    return True


def _base(epochs: int, dataset: str, **options: Any) -> Experiment:
    return Experiment(
        dataset=dataset,
        dataset_options=options,
        model="hetlib_bundle.studies.tuned:network",
        model_options={"pretrained": weights_found()},
        global_batch=GLOBAL_BATCH,
        epochs=epochs,
        evaluate_every=0,
    )


def _windows(epochs: int) -> Experiment:
    """Return runs on colour windows of an embedded scene, which every clone has."""
    colours = ("B3_red", "B2_green", "B1_blue")
    return _base(epochs, "wake", bands=colours, classes=WAKE_CLASSES, per_class=PER_CLASS)


def _images(epochs: int, pixels: int) -> Experiment:
    """Return runs on EuroSAT, or on an embedded scene where it is not there."""
    if not has_eurosat():
        return _windows(epochs)
    return _base(epochs, "eurosat", size=pixels, fractions=FRACTIONS)


def design(profile: str) -> tuple[Depth, ...]:
    """Return what is trained at a size, the cheapest part first.

    Args:
        profile: "quick", "standard" or "full".

    Raises:
        ValueError: There is none of this name.
    """
    one_of("profile", profile, ("quick", "standard", "full"))
    last = Depth(
        base=_images(5, 48),
        part=LAST_BLOCK,
        shares=(WORST,),
        statistics=tuple(NORMS),
        seeds=tuple(range(5)),
        search_seeds=(100, 101),
        grid=Grid(middle=0.02, reach=1, more=1),
    )
    if profile == "quick":
        few = replace(
            last,
            base=_windows(6),
            statistics=("frozen", "local"),
            roles=(OF_SINGLE,),
            seeds=(0, 1),
            search_seeds=(100,),
            grid=Grid(middle=0.02, reach=1, most=0),
        )
        return (few,)
    if profile == "full":
        full = replace(
            last,
            base=_images(20, 64),
            shares=((107, 21), WORST),
            seeds=tuple(range(10)),
            grid=Grid(middle=0.02),
        )
        return (full, replace(full, part=WHOLE))
    glimpse = replace(
        last,
        part=WHOLE,
        statistics=("frozen", "local", "balanced"),
        draws=(IID,),
        roles=(OF_SINGLE,),
        seeds=(0,),
        search_seeds=(100,),
        grid=Grid(middle=0.01, reach=1, most=0),
    )
    return (last, glimpse)


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
        means = found.groupby("lr", as_index=False).OA.mean()
        best = means.iloc[means.OA.argmax()]
        edge = best.lr in (means.lr.min(), means.lr.max())
        searched_for = dict(zip(SEARCH, names, strict=True))
        rows.append({**searched_for, "lr": float(best.lr), "OA": float(best.OA), "edge": edge})
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
    listed = "; ".join(f"{name}, {len(seeds)} seeds" for name, seeds in parts.items())
    pretrained = records[0].experiment["model_options"]["pretrained"]
    weights = "ImageNet's" if pretrained else "random"
    return f"EfficientNet-Lite0 with {weights} weights at first, {records[0].data_name} ({listed})"
