"""A recorded run, found by its fingerprint, run again and compared."""

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

import hetlib
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.kept.lines import record_lines

# Of scores under another version of torch.
TOLERANCE = 1e-6


def find(fingerprint: str) -> RunRecord:
    """Return the run of ``data/recorded`` or the results whose fingerprint begins so.

    Args:
        fingerprint: Its first characters.

    Raises:
        FileNotFoundError: There is none.
        ValueError: There are several.
    """
    found: dict[str, RunRecord] = {}
    for line in _lines():
        if f'"fingerprint":"{fingerprint}' in line:
            run = _record(line)
            if run is not None:
                found.setdefault(run.fingerprint, run)
    if not found:
        where = f"{paths.RECORDED} and {paths.RESULTS}"
        raise FileNotFoundError(
            f"no run {fingerprint!r} in {where}; the JSON file beside a table names its runs."
        )
    if len(found) > 1:
        raise ValueError(
            f"`fingerprint` is {fingerprint!r}, with which begin {sorted(found)}; "
            "give more characters."
        )
    return next(iter(found.values()))


def _record(line: str) -> RunRecord | None:
    """Return the run record in a line; None where it is damaged."""
    try:
        return RunRecord.from_dict(json.loads(line))
    except ValueError:
        return None


def _lines() -> Iterator[str]:
    """Yield the run records of the clone, then those of the results, as JSON."""
    for path in paths.RECORDED.glob("*/*.jsonl"):
        yield from record_lines(path)
    for path in paths.RESULTS.glob("*/kept/*.jsonl"):
        yield from record_lines(path)
    for path in paths.RESULTS.glob("*/runs/*.json"):
        yield path.read_text(encoding="utf-8", errors="replace")


def again(record: RunRecord) -> RunRecord:
    """Run a record's experiment on its platform, with the shares and speeds that it had.

    Args:
        record: Of a run in processes, or of a virtual one.

    Returns:
        The record of the new run.
    """
    experiment = hetlib.Experiment(**record.experiment)
    platform = hetlib.Platform.from_list(record.platform)
    if experiment.rebalance:  # by the log of its plans, since the clock would give others
        plans = tuple((step, tuple(shares)) for step, shares in record.plans)
        experiment = dataclasses.replace(experiment, rebalance=False, plans=plans)
    plan = _plan(record, experiment, platform.nominal_speeds)
    if record.mode == "virtual":
        return hetlib.train(experiment, hetlib.VirtualReplicas(platform), plan_with=plan)
    with hetlib.Replicas(platform) as replicas:
        return hetlib.train(experiment, replicas, plan_with=plan)


def _plan(
    record: RunRecord, experiment: hetlib.Experiment, nominal: tuple[float, ...]
) -> hetlib.Partition | None:
    """Return a plan with the shares and speeds of a record.

    None where the experiment itself says both.
    """
    by_speed = hetlib.STRATEGIES[experiment.strategy].shares == "speed"
    planned = by_speed and experiment.shares is None
    measured = tuple(record.speeds) != nominal
    if not planned and not measured:
        return None

    replicas = len(nominal)
    shares = (1,) * replicas
    if planned:
        shares = tuple(record.shares)
    times = [0.0] * replicas
    if measured:
        pairs = zip(shares, record.speeds, strict=True)
        times = [_time(samples, speed) for samples, speed in pairs]
    return hetlib.Partition(shares, tuple(times), 0.0, None, None, ("",) * replicas)


def _time(samples: int, speed: float) -> float:
    """Return the seconds for which samples / seconds is the speed.

    To the last bit, where there is such a number: the quotient or one of its neighbours.
    """
    near = samples / speed
    for seconds in (near, math.nextafter(near, 0), math.nextafter(near, math.inf)):
        if samples / seconds == speed:
            return seconds
    return near


class Comparison(NamedTuple):
    """A recorded run beside the same run of now."""

    # Scores and measured step times of both.
    table: pd.DataFrame

    # For the scores, in words.
    rule: str

    # The rule holds.
    same: bool


def compare(known: RunRecord, found: RunRecord) -> Comparison:
    """Compare a recorded run with the same run of now.

    Under the version of torch that the record names, scores must be equal; under another one within
    `TOLERANCE`.

    Args:
        known: The record.
        found: What `again` returned.
    """
    before = known.environment["torch"]
    now = found.environment["torch"]
    if before == now:
        allowed = 0.0
        rule = "scores must be equal"
    else:
        allowed = TOLERANCE
        rule = f"scores must be within {TOLERANCE:g}"
    apart = max(abs(known.scores[name] - found.scores[name]) for name in known.scores)
    table = pd.DataFrame({"recorded": _row(known), "new": _row(found)})
    return Comparison(table, f"torch {before}, now {now}: {rule}", apart <= allowed)


def _row(run: RunRecord) -> dict[str, object]:
    """Return a run's fingerprint, its scores and, where measured, its median step."""
    row: dict[str, object] = {"run": run.fingerprint}
    for name, value in run.scores.items():
        row[name if name == "kappa" else name.upper()] = value
    if run.steps:
        row["step (ms)"] = 1e3 * float(np.median(run.step_seconds[1:]))
    return row
