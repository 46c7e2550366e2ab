"""Does a job of uneven real processes train the model that one process trains?

The balanced gradient equals that of one process but for the order of its sums. So weights differ in
their last bits after one step, and training lets that grow: two runs of *one* process in another
precision end apart, too. That distance is the noise floor, and stands beside the difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import pandas as pd

import hetlib
from hetlib.balanced.shares import slashed
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord
from hetlib_bundle.studies.floors import mark
from hetlib_bundle.studies.many.tables import AT_CHANCE

# Norms by the words of the tables: statistics of a sample, or of the global batch.
NORMS = {"GroupNorm": "group", "BatchNorm": "balanced"}

# The kinds of runs, by seed: processes, one process, one process in float64.
PROCESSES = "processes"
SINGLE = "single"
DOUBLE = "single, float64"
KINDS = (PROCESSES, SINGLE, DOUBLE)


# Seeds of Q1, on which nothing was chosen, and as many of them at quick size.
FRESH = range(1000, 1024)
QUICK_FRESH = FRESH[:2]

# Samples a step of each replica.
Shares: TypeAlias = tuple[int, ...]

# Records of one setting, by kind: one a seed.
ByKind: TypeAlias = dict[str, list[RunRecord]]


class Setting(NamedTuple):
    """Where and with which norm a network is trained."""

    ratio: float

    norm: str

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"1:{self.ratio:g}, {self.norm}"


def settings_of(ratios: Sequence[float], norms: Sequence[str] = tuple(NORMS)) -> list[Setting]:
    """Return all pairs of ratios and norms."""
    return [Setting(ratio, norm) for ratio in ratios for norm in norms]


def shares_of(found: Mapping[str, ByKind]) -> dict[str, Shares]:
    """Return the shares that each setting was trained with.

    Args:
        found: From `trained`.
    """
    shares = {}
    for setting, by_kind in found.items():
        first = by_kind[PROCESSES][0]
        shares[setting] = tuple(first.shares)
    return shares


def at_work(settings: Sequence[Setting]) -> Iterator[tuple[Setting, hetlib.Replicas]]:
    """Yield each setting with its replicas at work.

    Args:
        settings: Grouped by their ratio, whose replicas are started once.
    """
    for ratio in dict.fromkeys(setting.ratio for setting in settings):
        with hetlib.Replicas(hetlib.Platform.emulated([1, ratio])) as replicas:
            for setting in settings:
                if setting.ratio == ratio:
                    yield setting, replicas


def with_norm(base: Experiment, norm: str) -> Experiment:
    """Return a run with one of `NORMS`."""
    return replace(base, model_options={**base.model_options, "norm": NORMS[norm]})


def trained(
    base: Experiment,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    *,
    seconds: float,
    store: Any = None,
    kinds: Sequence[str] = KINDS,
    shares: Mapping[str, Shares] | None = None,
) -> dict[str, ByKind]:
    """Train each setting in processes, in one process, and in one process in float64.

    The plan keeps both replicas: what is asked is whether uneven processes train alike, not whether
    it pays.

    Args:
        base: What is trained; its strategy, norm and shares are set here.
        settings: From `settings_of`.
        seeds: Of weights, order and split; one run of each kind.
        seconds: Budget of a plan.
        store: Folder of single records, in which finished runs are looked up.
        kinds: Of `KINDS`, those that are trained.
        shares: By setting, as `shares_of` returns them; ``None``: they are planned.

    Returns:
        By setting and kind, one record a seed.
    """
    found: dict[str, ByKind] = {}
    for setting, replicas in at_work(settings):
        case = with_norm(base, setting.norm)
        if shares is None:
            plan = hetlib.plan_experiment(case, replicas, seconds=seconds, keep_all=True)
            own = plan.shares
        else:
            own = shares[setting.name]
        case = replace(case, strategy="balanced", shares=own)
        virtual = hetlib.VirtualReplicas(replicas.platform)
        alone = replace(case, strategy="single")
        exact = replace(alone, dtype="float64")
        teams: Mapping[str, tuple[Experiment, Any]] = {
            PROCESSES: (case, replicas),
            SINGLE: (alone, virtual),
            DOUBLE: (exact, virtual),
        }
        by_kind: ByKind = {}
        for kind in kinds:
            run, team = teams[kind]
            each = [_seeded(run, seed) for seed in seeds]
            by_kind[kind] = [hetlib.train(one, team, store=store) for one in each]
        found[setting.name] = by_kind
    return found


def _seeded(run: Experiment, seed: int) -> Experiment:
    """Return a run with a seed, which the split of the data takes, too."""
    options = {**run.dataset_options, "seed": seed}
    return replace(run, seed=seed, dataset_options=options)


def differences(found: Mapping[str, ByKind]) -> pd.DataFrame:
    """Return the differences of test OA to one process, one row a setting and seed.

    Args:
        found: From `trained`.

    Returns:
        dataset, model, setting, seed, strategy ("balanced"), shares, OA (%), "OA - single" and,
        where it was trained, "OA of float64 - single" in points, trained (one process is better
        than a guess).
    """
    rows = []
    for setting, by_kind in found.items():
        pairs = zip(by_kind[PROCESSES], by_kind[SINGLE], strict=True)
        for place, (own, one) in enumerate(pairs):
            run = own.experiment
            rows.append(
                {
                    "dataset": run["dataset"],
                    "model": run["model"],
                    "setting": setting,
                    "seed": run["seed"],
                    "strategy": run["strategy"],
                    "shares": slashed(own.shares),
                    "OA": 100 * own.scores["oa"],
                    "OA - single": 100 * (own.scores["oa"] - one.scores["oa"]),
                    "trained": mark(one) != AT_CHANCE,
                }
            )
            if DOUBLE in by_kind:
                exact = by_kind[DOUBLE][place]
                difference = 100 * (exact.scores["oa"] - one.scores["oa"])
                rows[-1]["OA of float64 - single"] = difference
    return pd.DataFrame(rows)
