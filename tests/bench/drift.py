"""Rebalancing: does it find the new optimum, leave noise alone, and cost next to nothing?

Noise comes from a run measured here, and the traces are that noise on a known drift; the last rows
are real replicas.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

import hetlib
import hetlib.training.setup
from hetlib.planning.exchange import MESSAGE
from hetlib.planning.rebalance import Rebalancer
from hetlib.training.assignment import Assignment
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from hetlib_bundle.studies import drift, traces
from tests.bench import Row
from tests.bench._measure import row

STEPS = 1000  # of the run whose noise is taken
TRACES = 30
AFTER = 10  # steps within which the new optimum has to be reached
SLOWER = (4.0, 1.0)
CHANGE = 40  # step from which real replicas are slower
BATCH = 128

Models = Sequence[hetlib.SpeedModel]


def at_least(name: str, values: list[float], goal: float) -> Row:
    """Return the median of some runs that has to reach a goal."""
    found = row(name, values)
    holds = found.value >= goal
    return replace(found, goal=f">= {goal:g}", holds=holds)


class _Timed(Rebalancer):
    """Notes how long the training loop is held up."""

    spent: list[float] = []  # noqa: RUF012 -- one job a process at a time

    def exchange(self, *arguments: Any) -> Any:
        begin = time.perf_counter()
        try:
            return super().exchange(*arguments)
        finally:
            self.spent.append(time.perf_counter() - begin)


def timed(rank: int, job: Job) -> list[float]:
    """Train; return this replica's seconds in the exchange over those of its steps, by message."""
    _Timed.spent = []
    hetlib.training.setup.Rebalancer = _Timed  # type: ignore[misc]
    try:
        result = train_replica(rank, job)
    finally:
        hetlib.training.setup.Rebalancer = Rebalancer  # type: ignore[misc]
    assert result is not None
    steps = np.diff(result["stamps"][:, 3])
    spent = np.array(_Timed.spent[1:])
    whole = len(steps) // MESSAGE * MESSAGE  # each has one step that sends and one that receives
    held_up = spent[:whole].reshape(-1, MESSAGE)
    lasted = steps[:whole].reshape(-1, MESSAGE)
    fractions = held_up.sum(1) / lasted.sum(1)
    return fractions.tolist()


def relative(noise: np.ndarray) -> np.ndarray:
    """Return noise over its median, replica by replica."""
    return noise / np.median(noise, axis=0)


def quietest(noise: np.ndarray, steps: int = 250) -> np.ndarray:
    """Return the stretch of a measured trace that deviates least: little other work just then."""
    deviation = np.abs(noise - 1).max(axis=1)
    window = np.ones(steps) / steps
    means = np.convolve(deviation, window, mode="valid")
    first = means.argmin()
    return relative(noise[first : first + steps])


def drawn(steps: int) -> np.ndarray:
    """Return synthetic noise: 10 % (lognormal), and one step in 20 up to three times as long."""
    rng = np.random.default_rng(0)
    shape = (steps, 2)
    rare = rng.random(shape) < 0.05
    spikes = np.where(rare, rng.uniform(1.5, 3.0, shape), 1.0)
    noise = np.exp(0.1 * rng.standard_normal(shape))
    return relative(noise * spikes)


def slow_phases(shortest: int, longest: int, seed: int, steps: int = 1000) -> np.ndarray:
    """Return synthetic noise in which a replica is slower in phases, about 100 steps apart.

    It is 1.3 to 3 times slower.
    """
    rng = np.random.default_rng(seed)
    found = traces.resample(drawn(steps), steps, seed)
    step = int(rng.exponential(100))
    while step < steps:
        last = step + int(rng.integers(shortest, longest + 1))
        replica = rng.integers(2)
        found[step:last, replica] *= rng.uniform(1.3, 3.0)
        step = last + int(rng.exponential(100))
    return found


def followed(models: Models, known: Models, shares: tuple[int, ...], trace: Any) -> drift.Followed:
    """Run a trace with a rebalancer that knows these models."""
    return drift.follow(models, shares, trace, Rebalancer(known, shares))


def changes_of(run: drift.Followed) -> float:
    """Return how often the plan changed."""
    return len(run.plans) - 1.0


def in_phases(models: Models) -> list[Row]:
    """Return how often plans change where slow phases come and go, and what that gains."""
    shares = hetlib.partition(models, BATCH).shares
    rows = []
    for shortest, longest in ((5, 10), (5, 20), (5, 50), (50, 200)):
        changes = []
        ratios = []
        for seed in range(TRACES):
            trace = slow_phases(shortest, longest, seed)
            changing = followed(models, models, shares, trace)
            left = drift.follow(models, shares, trace)
            changes.append(changes_of(changing))
            ratio = changing.seconds.sum() / left.seconds.sum()
            ratios.append(float(ratio))
        title = f"synthetic noise, slow phases of {shortest} to {longest} steps"
        rows.append(row(f"{title}: changes of plan in 1,000 steps", changes))
        rows.append(row(f"{title}: time over that of the plan left as it is", ratios))
    return rows


def slowed(models: Models) -> list[hetlib.SpeedModel]:
    """Return the models of the replicas after the slow-down."""
    return [model.slowed(factor) for model, factor in zip(models, SLOWER, strict=True)]


def part_of_optimum(models: Models, known: Models, noise: np.ndarray, seed: int) -> float:
    """Return the best step after the slow-down over that of the plan in force ten steps later."""
    shares = hetlib.partition(models, BATCH).shares
    after = slowed(models)
    best = hetlib.partition(after, BATCH).step
    begin = CHANGE + seed % MESSAGE  # at any place in a message
    trace = traces.resample(noise, 60, seed) * traces.schedule(60, [(begin, SLOWER)])
    run = followed(models, known, shares, trace)
    in_force = [plan for step, plan in run.plans if step <= begin + AFTER][-1]
    return best / max(map(hetlib.SpeedModel.time, after, in_force))


def changes_without_drift(models: Models, known: Models, noise: np.ndarray, seed: int) -> float:
    """Return how often the plan changes in 1,000 steps of noise alone."""
    shares = hetlib.partition(models, BATCH).shares
    still = traces.resample(noise, 1000, 1000 + seed)
    return changes_of(followed(models, known, shares, still))


def deviation_of(name: str, noise: np.ndarray) -> Row:
    """Return how strong a noise is."""
    deviation = np.abs(noise - 1)
    low, middle, high = np.quantile(deviation, (0.25, 0.5, 0.75)).tolist()
    title = f"{name}: quartiles of the relative deviation"
    return Row(title, middle, low, high, len(noise))


def on_traces(models: Models, noises: dict[str, np.ndarray]) -> list[Row]:
    """Slow one replica down fourfold under noise; judge the plan ten steps later without it."""
    shares = hetlib.partition(models, BATCH).shares
    kinds = {"re-fit": models, "proportional": drift.constant_speeds(models, shares)}
    rows = []
    for name, noise in noises.items():
        rows.append(deviation_of(name, noise))
        for kind, known in kinds.items():
            seeds = range(TRACES)
            reached = [part_of_optimum(models, known, noise, seed) for seed in seeds]
            changes = [changes_without_drift(models, known, noise, seed) for seed in seeds]
            which = f"{name}, {kind}"
            title = f"fraction of the new optimum {AFTER} steps after a fourfold slow-down"
            rows.append(at_least(f"{which}: {title}", reached, 0.95))
            title = f"{which}: changes of plan in 1,000 steps without drift"
            rows.append(row(title, changes, at_most=0))
            most = max(changes)
            rows.append(Row(f"{title}, most", most, most, most, TRACES))
    return rows


class Real(NamedTuple):
    """What is measured on real replicas: the run, the replicas, their models and plan."""

    experiment: hetlib.Experiment
    replicas: hetlib.Replicas
    models: list[hetlib.SpeedModel]
    plan: hetlib.Partition

    def job(self, **changes: Any) -> Job:
        """Return the rebalanced job of the run with some settings changed."""
        return Job(
            experiment=replace(self.experiment, **changes),
            platform=self.replicas.platform,
            assignment=Assignment(shares=self.plan.shares, speeds=(1.0, 1.0), most=(BATCH, BATCH)),
            keep_weights=False,
            models=self.models,
        )

    def median_step(self, job: Job) -> float:
        """Train; return the median step, in seconds."""
        result = self.replicas.run(train_replica, job)[0]
        steps = np.diff(result["stamps"][:, 3])
        return float(np.median(steps))


def exchange_costs(real: Real) -> list[Row]:
    """Return what rebalancing costs where nothing changes."""
    job = real.job(max_steps=200)
    waits: list[float] = []
    for fractions in real.replicas.run(timed, job):
        waits += fractions
    with_it = real.job(max_steps=60)
    without = replace(with_it, models=None)
    pairs = []
    for turn in range(8):
        if turn % 2:
            plain = real.median_step(without)
            rebalanced = real.median_step(with_it)
        else:
            rebalanced = real.median_step(with_it)
            plain = real.median_step(without)
        pairs.append(rebalanced / plain)
    return [
        row("time in the exchange over that of the step", waits, at_most=0.005),
        row("step with rebalancing over step without, paired runs", pairs),
    ]


def against_known(real: Real) -> list[Row]:
    """Rebalance while a replica slows down, against a plan made for it."""
    job = real.job(max_steps=80, drift=((CHANGE, SLOWER),), rebalance=True)
    target = hetlib.partition(slowed(real.models), BATCH)
    known = replace(job.experiment, rebalance=False, plans=((CHANGE, target.shares),))
    after = slice(CHANGE + AFTER, None)
    reached = []
    found = []
    for _ in range(5):
        live = real.replicas.run(train_replica, job)[0]
        record = hetlib.train(known, real.replicas, plan_with=real.plan)
        steps = np.diff(live["stamps"][:, 3])
        rebalanced = np.median(steps[after])
        planned = np.median(record.step_seconds[after])
        reached.append(float(planned / rebalanced))
        changes = [step for step, _ in live["plans"] if step >= CHANGE]
        first = min(changes, default=job.experiment.max_steps)
        found.append(float(first - CHANGE))
    step = "step of the plan made for the slow-down over the rebalanced one"
    return [
        at_least(f"real replicas: {step}, from {AFTER} steps on", reached, 0.95),
        row(
            "real replicas: steps from the slow-down to the first new plan",
            found,
            at_most=AFTER,
        ),
    ]


def run() -> list[Row]:
    """Return what holds of the rebalancing goals; see the module."""
    experiment = hetlib.Experiment(
        max_steps=STEPS,
        epochs=400,
        evaluate_every=0,
        dataset_options={"per_class": 300, "split_by": "blocks"},
    )
    platform = hetlib.Platform.emulated([1, 1])
    with hetlib.Replicas(platform) as replicas:
        models = hetlib.measure(experiment, replicas)
        plan = hetlib.partition(models, experiment.global_batch)
        record = hetlib.train(experiment, replicas, plan_with=plan)
        noise = traces.noise(record)
        noises = {
            "measured noise": noise,
            "its quietest quarter": quietest(noise),
            "synthetic noise": drawn(STEPS),
        }
        rows = on_traces(models, noises) + in_phases(models)
        real = Real(experiment, replicas, models, plan)
        rows += exchange_costs(real)
        rows += against_known(real)
    return rows
