"""Steps on several batches in blocks, by clocks of machines that do not exist."""

import pytest

import hetlib
from hetlib.planning import blocks as module
from hetlib.planning.blocks import Blocks, batches_to_time
from tests.planning.clocks import Clock, QuotaClock


def test_time_step_returns_a_time_for_every_batch(monkeypatch):
    clock = Clock()
    clock.replace(monkeypatch, module)
    calls = []

    def step(batch: int) -> float:
        calls.append(batch)
        return clock.compute(batch / 100)

    blocks = Blocks(step, (2, 4, 8), 0.2)
    # the first step of each asks for memory; looking at 8 would take longer than is left
    assert calls == [2, 2, 4, 4]
    assert blocks.taken() == {2: [0.02], 4: [0.04]}
    calls.clear()
    blocks.run(0.5)
    # a step that finds the caches cold, then three at least
    assert calls == [2] * 4 + [4] * 4 + [2] * 4 + [4] * 4 + [2] * 4
    assert blocks.taken()[2] == pytest.approx([0.02] * 3)

    blocks = Blocks(step, (2, 4), 2.0)
    calls.clear()
    blocks.run(0.5)
    # a block lasts for 2 / 8 s
    assert calls == [2] * 14 + [4] * 8
    assert batches_to_time(128, 2) == [8, 16, 32, 64, 128]
    assert batches_to_time(128, 2, 50) == [12, 25, 50]
    assert batches_to_time(1, 2) == [1]
    assert batches_to_time(128, 2, 1) == [1]


def test_batches_worth_timing_can_be_trained():
    assert batches_to_time(8, 2, least=2) == [2, 4, 8]
    assert batches_to_time(100, 2, multiple=8) == [8, 24, 48, 96]
    assert batches_to_time(4, 2, multiple=8) == [8]
    assert batches_to_time(64, 2, 20, least=4, multiple=4) == [4, 8, 20]
    assert batches_to_time(64, 2, 20, least=8, multiple=4) == [8, 20]


@pytest.mark.parametrize(("quota", "step"), [(0.25, 0.01), (0.5, 0.02), (0.1, 0.003)])
def test_a_processor_in_bursts_is_timed_as_it_is_in_the_long_run(monkeypatch, quota, step):
    clock = QuotaClock(quota)
    clock.replace(monkeypatch, module)
    blocks = Blocks(lambda n: clock.compute(n * step / 8), (8, 16, 32), 10.0)
    blocks.run(10.0)
    model = hetlib.SpeedModel.measured(blocks.taken())
    for batch in (8, 16, 32):
        steady = batch * step / 8 / quota
        # a block may end in a burst or in a wait; a single step would be off by 1 / quota
        assert model.time(batch) == pytest.approx(steady, rel=0.2)


def test_steps_longer_than_a_budget_are_looked_at_once(monkeypatch):
    clock = Clock()
    clock.replace(monkeypatch, module)
    blocks = Blocks(clock.compute, (8, 16, 32), 1.0)
    assert blocks.taken() == {8: [8.0], 16: [16.0]}
    assert clock.now == 124
