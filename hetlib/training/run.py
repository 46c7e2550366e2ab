"""From an experiment to its record: measure and plan where needed, train, keep what came out."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hetlib.environment import environment
from hetlib.files import fingerprint
from hetlib.inputs import flag, number, optional, path
from hetlib.planning.partition import Partition
from hetlib.replicas.team import Team
from hetlib.training.asked import require_asked, require_fit, require_plan
from hetlib.training.assignment import Assignment, assign
from hetlib.training.experiment import RESULTS_VERSION, Experiment
from hetlib.training.loop import train_replica
from hetlib.training.opening import Opened, open_experiment
from hetlib.training.planning import measure_opened, plan_opened
from hetlib.training.records import RunRecord, phases
from hetlib.training.setup import Job
from hetlib.training.strategies import STRATEGIES

# Hexadecimal digits of a run's name: 64 bits, with which two of a million runs share a name with a
# chance of 3e-8.
_DIGITS = 16


def train(
    experiment: Experiment,
    replicas: Team,
    *,
    store: Path | str | None = None,
    plan_with: Partition | None = None,
    keep_weights: bool = False,
    seconds: float = 10,
) -> RunRecord:
    """Run an experiment, or return its record from a folder of finished runs.

    Args:
        experiment: The settings.
        replicas: Who trains: processes of this machine or of a job, or virtual replicas.
        store: Folder of records; one of the same fingerprint is returned instead of a new run.
        plan_with: A measured plan for shares by speed. Without it and without
            ``experiment.shares`` processes are measured now, and virtual replicas are taken at
            their nominal speeds.
        keep_weights: Whether ``record.weights`` holds the trained weights of the first active
            replica; the run is then made in any case.
        seconds: For the measurement.

    Returns:
        What the run left behind.

    Raises:
        ValueError: An argument is not allowed, the experiment does not fit the replicas, or its
            data and network cannot be had or do not fit each other.
    """
    asked = time.perf_counter()
    require_asked(experiment, replicas)
    require_plan("plan_with", plan_with)
    keep_weights = flag("keep_weights", keep_weights)
    store = optional(path, "store", store)
    check_store(store, replicas)
    require_fit(experiment, replicas)
    seconds = number("seconds", seconds, above=0)

    # Opened here first: what is wrong is said before any worker starts, and the cache exists.
    opened = open_experiment(experiment)
    plan = resolve_plan(experiment, opened, replicas, plan_with, seconds)
    assignment = assign(experiment, replicas.platform, plan, depends=opened.depends)

    name = identify(experiment, replicas, assignment, opened.data.checksum)
    if store is not None and not keep_weights:
        found = RunRecord.load(store / f"{name}.json")
        checksum = opened.data.checksum
        if found is not None and is_of(found, experiment, replicas, assignment, checksum):
            return found

    models = None
    if experiment.rebalance:
        models = measure_opened(experiment, opened, replicas, seconds)
    job = Job(experiment, replicas.platform, assignment, keep_weights, models, opened.found)
    results = replicas.run(train_replica, job)
    record = assemble(name, job, replicas, results, asked)
    if store is not None:
        record.save(store)
    return record


def check_store(store: Path | None, replicas: Team) -> None:
    """Refuse a folder of records where every replica would look into one of its own.

    Args:
        store: Folder of records, if any.
        replicas: Who trains.

    Raises:
        ValueError: Each replica of a job calls this. Ranks that find other records there would
            wait for each other.
    """
    if store is not None and replicas.rank is not None:
        raise ValueError(
            f"`store` is {str(store)!r}; let rank 0 of a job keep the record: record.save(folder)."
        )


def resolve_plan(
    experiment: Experiment,
    opened: Opened,
    replicas: Team,
    plan: Partition | None,
    seconds: float,
) -> Partition | None:
    """Return the plan that a run goes by, made now where there is none and it needs one.

    Args:
        experiment: The settings.
        opened: Its data and network.
        replicas: Who trains.
        plan: The plan given, if any.
        seconds: For the measurement.

    Returns:
        The plan; None where the experiment and the platform say all.
    """
    if plan is not None or experiment.shares is not None:
        return plan
    if not STRATEGIES[experiment.strategy].planned:
        return None
    return plan_opened(experiment, opened, replicas, seconds=seconds)


def identify(experiment: Experiment, replicas: Team, assignment: Assignment, checksum: str) -> str:
    """Return a run's fingerprint: it names the run by all that decides its result.

    Args:
        experiment: The settings.
        replicas: Who trains.
        assignment: Who takes how much; speeds count where the weights depend on them.
        checksum: Of the data.

    Returns:
        Hexadecimal digits.
    """
    speeds: tuple[float, ...] = ()
    if STRATEGIES[experiment.strategy].weighs_speeds:
        speeds = assignment.speeds
    decisive: tuple[Any, ...] = (
        RESULTS_VERSION,
        experiment.to_dict(),
        replicas.platform.to_list(),
        mode_of(replicas),
        assignment.shares,
        speeds,
        checksum,
        torch.__version__,
    )
    code = experiment.code()
    if code:  # the reader's own may change under its name
        decisive = (*decisive, code)
    return fingerprint(decisive)[:_DIGITS]


def is_of(
    record: RunRecord,
    experiment: Experiment,
    replicas: Team,
    assignment: Assignment,
    checksum: str,
) -> bool:
    """Say whether a stored record tells of this run, and not only bears its name.

    Args:
        record: As it was read.
        experiment: The settings.
        replicas: Who trains.
        assignment: Who takes how much.
        checksum: Of the data.

    Returns:
        Whether the settings are the same.
    """
    asked = (
        experiment.to_dict(),
        replicas.platform.to_list(),
        mode_of(replicas),
        list(assignment.shares),
        checksum,
        experiment.code(),
    )
    told = (
        record.experiment,
        record.platform,
        record.mode,
        record.shares,
        record.dataset.get("checksum"),
        record.code,
    )
    return fingerprint(asked) == fingerprint(told)


def mode_of(replicas: Team) -> str:
    """Return how a record calls these replicas: "processes" or "virtual"."""
    return "processes" if replicas.timed else "virtual"


def assemble(
    name: str, job: Job, replicas: Team, results: list[dict[str, Any] | None], asked: float
) -> RunRecord:
    """Make the record of a run.

    Args:
        name: Its fingerprint.
        job: What was trained.
        replicas: Who trained.
        results: What `train_replica` returned for each replica.
        asked: When the run was asked for, in seconds of this process's clock.

    Returns:
        The record.
    """
    trained = [result for result in results if result is not None]
    stamps = np.stack([result.pop("stamps") for result in trained])
    weights = trained[0].pop("weights")
    experiment = job.experiment
    assignment = job.assignment
    shares = assignment.shares
    record = RunRecord(
        fingerprint=name,
        experiment=experiment.to_dict(),
        platform=job.platform.to_list(),
        mode=mode_of(replicas),
        times="",
        shares=list(shares),
        lr=experiment.peak_rate([n for n in shares if n]),
        speeds=list(assignment.speeds),
        environment=environment() | replicas.about(),
        started=started(replicas, assignment, stamps, asked),
        plan=assignment.plan_values(),
        weights=weights,
        code=experiment.code(),
        **trained[0],
    )
    if replicas.timed:
        record.times = "measured"
        record.steps = phases(stamps, shares)
    return record


def started(
    replicas: Team, assignment: Assignment, stamps: np.ndarray, asked: float
) -> dict[str, float]:
    """Return the seconds from the call to the end of the first step.

    Args:
        replicas: Who trained.
        assignment: Who took how much.
        stamps: Time stamps, ``(active, steps, 4)``.
        asked: When the run was asked for, in seconds of this process's clock.

    Returns:
        The seconds as ``first_step``; nothing in a process without a share.
    """
    if replicas.rank is not None and not assignment.shares[replicas.rank]:
        return {}  # measured from this process's call, on a clock that it may not share
    return {"first_step": float(stamps[:, 0, 3].max() - asked)}
