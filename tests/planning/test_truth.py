"""What a plan says agrees with its numbers, on machines that do not exist."""

import dataclasses
import re

import numpy as np
import pytest

import hetlib
from hetlib.planning import decision
from hetlib.planning.decision import decide
from hetlib.planning.timing import Task
from tests.planning import workers
from tests.planning.clocks import Clock

BATCH = 64


@dataclasses.dataclass
class Machine:
    """Replicas whose every step is known.

    Attributes:
        speeds: Samples a second of each replica, beside the others, in the long run.
        overheads: Seconds that a step takes on any number of samples.
        exchange: Seconds that the exchange among more than one adds.
        flattered: How many times as fast each looks in steps of its own, alone.
        floors: Fewest samples of each.
    """

    speeds: tuple[float, ...]
    overheads: tuple[float, ...] = ()
    exchange: float = 0.0
    flattered: tuple[float, ...] = ()
    floors: tuple[int, ...] = ()

    def compute(self, shares):
        """Return the seconds that each replica computes."""
        overheads = self.overheads or (0.0,) * len(self.speeds)
        each = zip(shares, self.speeds, overheads, strict=True)
        return [n / speed + overhead if n else 0.0 for n, speed, overhead in each]

    def step(self, shares):
        """Return the seconds of a step."""
        exchanged = self.exchange if np.count_nonzero(shares) > 1 else 0.0
        return max(self.compute(shares)) + exchanged

    def curves(self):
        """Return what each replica finds when it times itself."""
        flattered = self.flattered or (1.0,) * len(self.speeds)
        found = []
        for rank, faster in enumerate(flattered):
            alone = [0] * len(self.speeds)
            seconds = []
            for samples in (8, 16, 32, 64):
                alone[rank] = samples
                seconds.append(self.compute(alone)[rank] / faster)
            found.append(hetlib.SpeedModel((8, 16, 32, 64), tuple(seconds), 0.01))
        return found

    def best_of_all(self):
        """Return the shortest step of any shares of two replicas."""
        splits = [(n, BATCH - n) for n in range(BATCH + 1)]
        return min(self.step(shares) for shares in splits)


@dataclasses.dataclass
class Seen:
    """What was raced: shares and steps, and the seconds that all took."""

    plan: hetlib.Partition
    raced: dict[tuple[int, ...], float]
    spent: float


def planned(monkeypatch, machine, seconds=10.0, spent=0.0):
    """Plan for a machine by a clock of its own."""
    clock = Clock()
    clock.replace(monkeypatch, decision)
    replicas = [hetlib.Replica()] * len(machine.speeds)
    floors = machine.floors or (1,) * len(replicas)
    raced = {}

    def gather(item):
        if isinstance(item, float):
            return [item]
        return list(zip(machine.curves(), replicas, floors, strict=True))

    def curve(task, batch, seconds):
        clock.now += max(seconds, *machine.compute([batch] * len(replicas)))

    def race(task, plans, seconds, most, limit):
        found = {}
        for shares in plans:
            raced[shares] = machine.step(shares)
            compute = np.array(machine.compute(shares))
            both = np.stack([np.where(compute > 0, raced[shares], 0), compute], axis=1)
            found[shares] = np.repeat(both[:, None], 3, axis=1)
        turn = sum(raced[shares] for shares in plans)
        turns = max(2, min(limit, seconds) // turn)
        clock.now += turns * turn
        return found

    monkeypatch.setattr(decision, "gather", gather)
    monkeypatch.setattr(decision, "curve", curve)
    monkeypatch.setattr(decision, "race", race)
    task = Task(hetlib.Replica(), workers.small_cnn(), workers.mean_of_images, workers.plain)
    plan = decide(task, BATCH, seconds, spent=spent)
    return Seen(plan, raced, spent + clock.now - 100)


MACHINES = [
    Machine((300.0, 100.0)),
    Machine((300.0, 100.0), exchange=1.0),
    Machine((300.0, 3.0)),
    Machine((300.0, 280.0), exchange=0.3, flattered=(1.0, 3.0)),
    Machine((300.0, 100.0, 20.0), exchange=0.05),
    Machine((300.0, 100.0, 2.0), exchange=0.05),  # timing the last one takes all the time
    Machine((300.0, 200.0, 100.0, 50.0), exchange=0.02, overheads=(0.01, 0.01, 0.2, 0.5)),
    Machine((300.0, 100.0), flattered=(1.0, 2.5), floors=(2, 2)),
]


def drawn_machine(seed):
    """Return replicas of any speeds, overheads and flattery, over any link."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    return Machine(
        speeds=tuple(np.exp(rng.uniform(3, 7, count)).tolist()),
        overheads=tuple(rng.choice([0.0, 0.01, 0.2], count).tolist()),
        exchange=float(rng.choice([0.0, 0.01, 0.3])),
        flattered=tuple(rng.uniform(1.0, 3.0, count).tolist()),
    )


MACHINES += [drawn_machine(seed) for seed in range(30)]


def milliseconds(sentence):
    """Return the two times of a sentence about a replica that is left out."""
    found = re.search(r"takes ([0-9.]+) ms, without it ([0-9.]+) ms, (\w+)", sentence)
    return found.groups()


@pytest.mark.parametrize("machine", MACHINES)
def test_each_sentence_has_the_numbers_of_its_plan(monkeypatch, machine):
    seen = planned(monkeypatch, machine)
    plan = seen.plan
    assert plan.times == "measured"
    assert plan.step == pytest.approx(seen.raced[plan.shares])
    raced = {f"{1e3 * step:.1f}" for step in seen.raced.values()}
    for share, sentence in zip(plan.shares, plan.reasons, strict=True):
        assert bool(sentence) == (share == 0)
        if share == 0:
            with_it, without, times = milliseconds(sentence)
            assert times == "measured" or plan.note  # there was no time to try it
            step = plan.step if times == "measured" else plan.modelled_step
            assert without == f"{1e3 * step:.1f}"
            assert with_it in raced or times == "modelled"


@pytest.mark.parametrize("machine", MACHINES)
def test_measured_is_divided_by_measured_and_modelled_by_modelled(monkeypatch, machine):
    plan = planned(monkeypatch, machine).plan
    equal = plan.equal_step / plan.modelled_step
    assert f"{equal:.2f} times as fast as equal shares (both modelled)" in str(plan)
    if plan.alone_times == "measured":
        alone = plan.alone_step / plan.step
    else:
        alone = plan.alone_step / plan.modelled_step
    text = f"{alone:.2f} times as fast as the best alone (both {plan.alone_times})"
    assert text in str(plan)
    if np.count_nonzero(plan.shares) == 1:
        assert plan.alone_step == plan.step


def test_what_is_not_known_is_not_divided():
    plan = planned_with_text(modelled_step=None, alone_times="")
    assert str(plan) == (
        "step 100.0 ms +- 2 %, measured; equal shares: 200.0 ms, modelled; "
        "the best alone: 300.0 ms, as recorded"
    )
    plan = planned_with_text(modelled_step=0.08, alone_times="modelled", note="late")
    assert str(plan) == (
        "step 100.0 ms +- 2 %, measured; 2.50 times as fast as equal shares (both modelled); "
        "3.75 times as fast as the best alone (both modelled); late"
    )


def planned_with_text(**fields):
    return hetlib.Partition(
        shares=(2, 1),
        compute=(0.09, 0.08),
        communication=0.01,
        equal_step=0.2,
        alone_step=0.3,
        reasons=("", ""),
        times="measured",
        uncertainty=0.02,
        **fields,
    )


@pytest.mark.parametrize(
    "machine",
    [
        Machine((292.0, 78.0)),
        Machine((292.0, 78.0), flattered=(1.0, 2.0)),
        Machine((292.0, 78.0), flattered=(1.0, 4.0), exchange=0.005),
        Machine((292.0, 78.0), flattered=(3.0, 1.0), exchange=0.005),
        Machine((150.0, 140.0), flattered=(1.0, 3.0), overheads=(0.01, 0.02)),
        Machine((300.0, 5.0), exchange=0.2),
    ],
)
def test_the_plan_is_near_the_best_of_all_splits_though_curves_flatter(monkeypatch, machine):
    plan = planned(monkeypatch, machine).plan
    assert machine.step(plan.shares) <= 1.03 * machine.best_of_all()


def test_a_plan_carries_what_a_rebalancer_needs(monkeypatch):
    machine = Machine((300.0, 100.0), flattered=(1.0, 3.0), floors=(2, 2))
    plan = planned(monkeypatch, machine).plan
    # as they are beside each other
    assert plan.models[0].time(48) / plan.models[1].time(16) == pytest.approx(1, rel=0.1)
    assert plan.floors == (2, 2)
    assert plan.multiples == (1, 1)
    assert plan.caps == (None, None)


@pytest.mark.parametrize("slow", [1, 5, 100, 1000])
def test_planning_keeps_to_its_seconds_or_says_why_not(monkeypatch, slow):
    machine = Machine((300.0 / slow, 100.0 / slow), exchange=0.01 * slow)
    seen = planned(monkeypatch, machine, seconds=10.0)
    late = seen.spent > 12
    assert bool(seen.plan.note) == late
    assert late == (slow >= 100)  # one step takes 20 s
    if late:
        step = f"one of the best plan takes {1e3 * seen.plan.step:.1f} ms"
        assert f"planning took {seen.spent:.1f} s where 10 s were given" in seen.plan.note
        assert step in seen.plan.note
        assert seen.plan.note in str(seen.plan)


@pytest.mark.parametrize(("spent", "late"), [(0.5, False), (4.0, False), (9.0, True), (40.0, True)])
def test_what_came_before_the_clock_is_of_the_seconds_too(monkeypatch, spent, late):
    seen = planned(monkeypatch, Machine((300.0, 100.0), exchange=0.01), spent=spent)
    assert bool(seen.plan.note) == late
    assert (seen.spent > 12) == late
    if late:
        assert f"planning took {seen.spent:.1f} s where 10 s were given" in seen.plan.note
        assert f"{spent:.1f} s went by before anything was timed" in seen.plan.note
