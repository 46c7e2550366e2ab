"""A recorded run, found by its fingerprint, run again and compared."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

import hetlib
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.kept import keeper as recorded

TOLERANCE = 1e-6  # of scores under another version of torch


def find(fingerprint: str) -> RunRecord:
    """Return the run of ``data/recorded`` or the results whose fingerprint begins so.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several.
    """
    found: dict[str, RunRecord] = {}
    for line in _lines():
        if f'"fingerprint":"{fingerprint}' in line:
            run = RunRecord(**json.loads(line))
            found.setdefault(run.fingerprint, run)
    if not found:
        where = f"{recorded.RECORDED} and {paths.RESULTS}"
        raise FileNotFoundError(
            f"no run {fingerprint!r} in {where}; the JSON file beside a table names its runs."
        )
    if len(found) > 1:
        raise ValueError(
            f"`fingerprint` is {fingerprint!r}, with which begin {sorted(found)}; give more characters."
        )
    return next(iter(found.values()))


def _lines() -> Iterator[str]:
    """Yield the run records of the clone, then those of the results, as JSON."""
    kept = [*recorded.RECORDED.glob("*/*.jsonl"), *paths.RESULTS.glob("*/kept/*.jsonl")]
    for path in kept:
        # after what made them, and the value
        yield from path.read_text(encoding="utf-8").splitlines()[2:]
    for path in paths.RESULTS.glob("*/runs/*.json"):
        yield path.read_text(encoding="utf-8")


def again(record: RunRecord) -> RunRecord:
    """Run a record's experiment on its platform, in processes or virtual, with the shares and speeds that it had."""
    experiment, platform = (
        hetlib.Experiment(**record.experiment),
        hetlib.Platform.from_list(record.platform),
    )
    if experiment.rebalance:  # by the log of its plans, since the clock would give others
        plans = tuple((step, tuple(shares)) for step, shares in record.plans)
        experiment = replace(experiment, rebalance=False, plans=plans)
    plan = _plan(record, experiment, platform.nominal_speeds)
    if record.mode == "virtual":
        return hetlib.train(experiment, hetlib.VirtualReplicas(platform), plan_with=plan)
    with hetlib.Replicas(platform) as replicas:
        return hetlib.train(experiment, replicas, plan_with=plan)


def _plan(
    record: RunRecord, experiment: hetlib.Experiment, nominal: tuple[float, ...]
) -> hetlib.Partition | None:
    """Return a plan with the shares and speeds of a record, or None where the experiment itself says both."""
    planned = hetlib.STRATEGIES[experiment.strategy].shares == "speed" and experiment.shares is None
    measured = tuple(record.speeds) != nominal
    if not planned and not measured:
        return None
    shares = tuple(record.shares) if planned else (1,) * len(nominal)
    times = [
        _time(n, speed) if measured else 0.0 for n, speed in zip(shares, record.speeds, strict=True)
    ]
    return hetlib.Partition(shares, tuple(times), 0.0, None, None, ("",) * len(shares))


def _time(samples: int, speed: float) -> float:
    """Return the seconds for which samples / seconds is the speed, to the last bit where such a number exists."""
    near = samples / speed
    tried = (near, math.nextafter(near, 0), math.nextafter(near, math.inf))
    return next((seconds for seconds in tried if samples / seconds == speed), near)


def compare(known: RunRecord, found: RunRecord) -> tuple[pd.DataFrame, str, bool]:
    """Return both runs' scores and measured step times side by side, the rule for the scores, and whether it holds.

    Under the version of torch that the record names, scores must be equal; under another one within
    `TOLERANCE`.
    """
    versions = [run.environment["torch"] for run in (known, found)]
    exact = versions[0] == versions[1]
    allowed = "scores must be equal" if exact else f"scores must be within {TOLERANCE:g}"
    apart = max(abs(known.scores[name] - found.scores[name]) for name in known.scores)
    table = pd.DataFrame({"recorded": _row(known), "new": _row(found)})
    return (
        table,
        f"torch {versions[0]}, now {versions[1]}: {allowed}",
        apart <= (0.0 if exact else TOLERANCE),
    )


def _row(run: RunRecord) -> dict[str, object]:
    row: dict[str, object] = {"run": run.fingerprint}
    row |= {name if name == "kappa" else name.upper(): value for name, value in run.scores.items()}
    return row | ({"step (ms)": 1e3 * float(np.median(run.step_seconds[1:]))} if run.steps else {})
