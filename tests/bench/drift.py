"""Rebalancing: does it find the new optimum, leave noise alone, and cost next to nothing?

Noise comes from a run measured here, and the traces are that noise on a known drift; the last rows
are real replicas.
"""

import time
from dataclasses import replace
from typing import Any

import numpy as np

import hetlib
import hetlib.training.loop
from hetlib.planning.rebalance import MESSAGE, Rebalancer
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from hetlib_bundle.studies import drift
from tests.bench import Row
from tests.bench._measure import row

STEPS = 1000  # of the run whose noise is taken
TRACES = 30
AFTER = 10  # steps within which the new optimum has to be reached
SLOWER = (4.0, 1.0)


def at_least(name: str, values: list[float], goal: float) -> Row:
    found = row(name, values)
    return replace(found, goal=f">= {goal:g}", holds=found.value >= goal)


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
    """Train, and return this replica's seconds in the exchange over those of its steps, a message at a time."""
    _Timed.spent = []
    hetlib.training.loop.Rebalancer = _Timed  # type: ignore[misc]
    try:
        result = train_replica(rank, job)
    finally:
        hetlib.training.loop.Rebalancer = Rebalancer  # type: ignore[misc]
    steps, spent = np.diff(result["stamps"][:, 3]), np.array(_Timed.spent[1:])  # type: ignore[index]
    whole = len(steps) // MESSAGE * MESSAGE  # each has one step that sends and one that receives
    return (
        spent[:whole].reshape(-1, MESSAGE).sum(1) / steps[:whole].reshape(-1, MESSAGE).sum(1)
    ).tolist()


def quietest(noise: np.ndarray, steps: int = 250) -> np.ndarray:
    """Return the stretch of a measured trace in which it deviates least: little other work on the machine."""
    deviation = np.abs(noise - 1).max(axis=1)
    means = np.convolve(deviation, np.ones(steps) / steps, mode="valid")
    found = noise[means.argmin() :][:steps]
    return found / np.median(found, axis=0)


def drawn(steps: int) -> np.ndarray:
    """Return synthetic noise: 10 % (lognormal), and one step in twenty up to three times as long."""
    rng = np.random.default_rng(0)
    spikes = np.where(rng.random((steps, 2)) < 0.05, rng.uniform(1.5, 3.0, (steps, 2)), 1.0)
    found = np.exp(0.1 * rng.standard_normal((steps, 2))) * spikes
    return found / np.median(found, axis=0)


def slow_phases(shortest: int, longest: int, seed: int, steps: int = 1000) -> np.ndarray:
    """Return synthetic noise in which a replica is 1.3 to 3 times slower in phases, about 100 steps apart."""
    rng = np.random.default_rng(seed)
    found, step = drift.resample(drawn(steps), steps, seed), int(rng.exponential(100))
    while step < steps:
        last = step + int(rng.integers(shortest, longest + 1))
        found[step:last, rng.integers(2)] *= rng.uniform(1.3, 3.0)
        step = last + int(rng.exponential(100))
    return found


def in_phases(models: list[hetlib.SpeedModel]) -> list[Row]:
    """Return how often plans change where slow phases come and go, and what that gains or loses."""
    shares, rows = hetlib.partition(models, 128).shares, []
    for shortest, longest in ((5, 10), (5, 20), (5, 50), (50, 200)):
        changes, ratios = [], []
        for seed in range(TRACES):
            trace = slow_phases(shortest, longest, seed)
            followed = drift.follow(models, shares, trace, Rebalancer(models, shares))
            changes.append(len(followed.plans) - 1.0)
            ratios.append(
                float(followed.seconds.sum() / drift.follow(models, shares, trace).seconds.sum())
            )
        title = f"synthetic noise, slow phases of {shortest} to {longest} steps"
        rows.append(row(f"{title}: changes of plan in 1,000 steps", changes))
        rows.append(row(f"{title}: time over that of the plan left as it is", ratios))
    return rows


def on_traces(models: list[hetlib.SpeedModel], noises: dict[str, np.ndarray]) -> list[Row]:
    """Slow one replica down four times under noise; judge, without noise, the plan in force after ten steps."""
    shares = hetlib.partition(models, 128).shares
    slowed = [model.slowed(factor) for model, factor in zip(models, SLOWER, strict=True)]
    best = hetlib.partition(slowed, 128).step
    kinds = {"re-fit": models, "proportional": drift.constant_speeds(models, shares)}
    rows = []
    for name, noise in noises.items():
        spread = [float(np.quantile(np.abs(noise - 1), q)) for q in (0.25, 0.5, 0.75)]
        rows.append(
            Row(f"{name}: quartiles of the relative deviation", spread[1], *spread[::2], len(noise))
        )
        for kind, known in kinds.items():
            reached, changes = [], []
            for seed in range(TRACES):
                begin = 40 + seed % MESSAGE  # at any place in a message
                trace = drift.resample(noise, 60, seed) * drift.schedule(60, [(begin, SLOWER)])
                followed = drift.follow(models, shares, trace, Rebalancer(known, shares))
                plan = [plan for step, plan in followed.plans if step <= begin + AFTER][-1]
                reached.append(best / max(map(hetlib.SpeedModel.time, slowed, plan)))
                still = drift.resample(noise, 1000, 1000 + seed)
                changes.append(
                    len(drift.follow(models, shares, still, Rebalancer(known, shares)).plans) - 1.0
                )
            title = f"{name}, {kind}: fraction of the new optimum {AFTER} steps after a fourfold slow-down"
            rows.append(at_least(title, reached, 0.95))
            title = f"{name}, {kind}: changes of plan in 1,000 steps without drift"
            rows.append(row(title, changes, at_most=0))
            rows.append(Row(f"{title}, most", max(changes), max(changes), max(changes), TRACES))
    return rows


def run() -> list[Row]:
    """Return what holds of the rebalancing goals; see the module."""
    settings = {
        "epochs": 400,
        "evaluate_every": 0,
        "dataset_options": {"per_class": 300, "split_by": "blocks"},
    }
    experiment = hetlib.Experiment(max_steps=STEPS, **settings)  # type: ignore[arg-type]
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        models = hetlib.measure(experiment, replicas)
        plan = hetlib.partition(models, experiment.global_batch)
        noise = drift.noise(hetlib.train(experiment, replicas, plan_with=plan))
        noises = {
            "measured noise": noise,
            "its quietest quarter": quietest(noise),
            "synthetic noise": drawn(STEPS),
        }
        rows = on_traces(models, noises) + in_phases(models)

        short = replace(experiment, max_steps=200)
        job = Job(short, replicas.platform, plan.shares, (1.0, 1.0), (128, 128), False, models)
        waits = [fraction for fractions in replicas.run(timed, job) for fraction in fractions]
        rows.append(row("time in the exchange over that of the step", waits, at_most=0.005))
        plain = replace(job, models=None)
        pairs = []
        for turn in range(8):
            taken = {}
            for one in (job, plain)[:: -1 if turn % 2 else 1]:
                stamps = replicas.run(
                    train_replica, replace(one, experiment=replace(short, max_steps=60))
                )[0]["stamps"]
                taken[one is job] = np.median(np.diff(stamps[:, 3]))
            pairs.append(float(taken[True] / taken[False]))
        rows.append(row("step with rebalancing over step without, paired runs", pairs))

        # Real replicas: rebalanced while one slows down, against a plan made for it.
        slow = replace(experiment, max_steps=80, drift=((40, SLOWER),))
        target = hetlib.partition([m.slowed(f) for m, f in zip(models, SLOWER, strict=True)], 128)
        reached, found = [], []
        for _ in range(5):
            live = replicas.run(
                train_replica,
                Job(
                    replace(slow, rebalance=True),
                    replicas.platform,
                    plan.shares,
                    (1.0, 1.0),
                    (128, 128),
                    False,
                    models,
                ),
            )
            known = hetlib.train(
                replace(slow, plans=((40, target.shares),)), replicas, plan_with=plan
            )
            after = slice(40 + AFTER, None)
            step = np.median(np.diff(live[0]["stamps"][:, 3])[after])
            reached.append(float(np.median(known.step_seconds[after]) / step))
            found.append(
                float(next((k for k, shares in live[0]["plans"] if k >= 40), slow.max_steps) - 40)
            )
    title = f"real replicas: step of the plan made for the slow-down over the rebalanced one, from {AFTER} steps on"
    rows.append(at_least(title, reached, 0.95))
    rows.append(
        row("real replicas: steps from the slow-down to the first new plan", found, at_most=AFTER)
    )
    return rows
