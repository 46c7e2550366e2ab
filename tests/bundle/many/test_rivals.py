"""Local SGD, modelled step times, and weights by speed."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from hetlib.planning.speed import SpeedModel
from hetlib_bundle.studies.many import cells, draws, engine, rival_times, speeds
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.local import Rounds, descend
from tests.bundle.many import made

STEPS = 10
RATES = (0.05, 0.2)
BATCH = 8


def in_double(seed: int) -> cells.Samples:
    found = made.split(seed).train
    return found._replace(inputs=found.inputs.double())


def rows_of(copies: int) -> list[np.ndarray]:
    alone = Condition("single", (BATCH,))
    return [draws.draw(alone, in_double(3), STEPS, 3 + 1000 * rank) for rank in range(copies)]


def stacked(copies: int) -> engine.Layers:
    network = engine.perceptron((made.FEATURES, 4, made.CLASSES), 3).double()
    return engine.stack([network] * copies, len(RATES))


class Copy(NamedTuple):
    """A network with its own optimizer and order."""

    network: torch.nn.Sequential
    optimizer: torch.optim.SGD
    rows: np.ndarray

    def step(self, step: int, rate: float) -> None:
        data = in_double(3)
        rows = self.rows[step]
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        values = self.network(data.inputs[rows])
        F.cross_entropy(values, torch.from_numpy(data.labels[rows])).backward()
        self.optimizer.step()


def copies_of(rounds: Rounds, descent: engine.Descent) -> list[Copy]:
    found = []
    for rows in rows_of(len(rounds.local_steps)):
        network = engine.perceptron((made.FEATURES, 4, made.CLASSES), 3).double()
        optimizer = torch.optim.SGD(
            network.parameters(), lr=1.0, momentum=descent.momentum, weight_decay=descent.decay
        )
        found.append(Copy(network, optimizer, rows))
    return found


@torch.no_grad()
def average(copies: list[Copy], weights: np.ndarray) -> None:
    for alike in zip(*(each.network.parameters() for each in copies), strict=True):
        parts = [weight * one for weight, one in zip(weights, alike, strict=True)]
        mean = torch.stack(parts).sum(0)
        for one in alike:
            one.copy_(mean)


def by_hand(rounds: Rounds, rate: float, descent: engine.Descent) -> list[torch.Tensor]:
    """Copies trained by torch's own layers and optimizer, and averaged."""
    copies = copies_of(rounds, descent)
    longest = rounds.local_steps[0]
    for step, factor in enumerate(engine.schedule(STEPS)):
        place = step % longest
        for each, own_steps in zip(copies, rounds.local_steps, strict=True):
            if place < own_steps:
                each.step(step, rate * factor)
        if place == longest - 1 or step == STEPS - 1:
            average(copies, rounds.weights())
    return [each.detach() for each in copies[0].network.parameters()]


@pytest.mark.parametrize("kind", ["mean", "samples"])
@pytest.mark.parametrize("local_steps", [(3, 1), (4, 2, 1), (2, 2)])
def test_copies_are_trained_as_by_hand(local_steps: tuple[int, ...], kind: str) -> None:
    """Ten steps are no whole number of rounds of three and four: the last one is shorter."""
    descent = engine.Descent(momentum=0.8, decay=0.01)
    rounds = Rounds(local_steps=local_steps, batch=BATCH, average=kind)
    copies = len(local_steps)
    layers = stacked(copies)
    drawn = cells.batches([in_double(3)] * copies, rows_of(copies))
    descend(layers, drawn, rounds, steps=STEPS, rates=RATES, descent=descent)
    for place, rate in enumerate(RATES):
        expected = by_hand(rounds, rate, descent)
        found = [each[0, place].detach() for layer in layers for each in layer]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_averages_count_alike_or_by_samples() -> None:
    for kind, weights in (("mean", [0.5, 0.5]), ("samples", [0.9, 0.1])):
        rounds = Rounds(local_steps=(9, 1), batch=BATCH, average=kind)
        assert rounds.weights().tolist() == pytest.approx(weights)


@pytest.mark.parametrize("local_steps", [(), (1, 3), (3, 0)])
def test_wrong_local_steps_are_named(local_steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`local_steps` is"):
        Rounds(local_steps=local_steps, batch=BATCH, average="mean")


def two(ratio: float) -> rival_times.Fleet:
    """Replicas of 1 ms and ``ratio`` ms a sample, an average takes 5 ms."""
    fast = SpeedModel.constant(1000.0)
    return rival_times.Fleet(fast, fast.slowed(ratio), 0.005)


def test_step_times_by_hand() -> None:
    times = rival_times.step_times(two(3.0), 3.0)
    assert times["fastest-only"] == pytest.approx(0.128)
    assert times["equal"] == pytest.approx(3 * 0.064 + 0.005)
    assert times["balanced"] == pytest.approx(0.096 + 0.005)  # 96/32
    assert times["uneven-plain"] == times["balanced"]
    # 6 parts of 16 samples by the fast one and 2 by the slow one, which are done at once
    assert times["deadline accumulation"] == pytest.approx(0.096 + 0.005)
    for kind in rival_times.AVERAGES:
        name = rival_times.local_name(kind)
        assert times[name] == pytest.approx(0.128 + 2 * 0.005 / 3)


def test_a_deadline_before_the_slow_one_is_done_is_the_fast_one_alone() -> None:
    assert rival_times.deadline(two(1000.0)) == pytest.approx(0.128)


def runs_of(curves: dict[tuple[str, float], tuple[float, float, float]]) -> pd.DataFrame:
    rows = []
    for (strategy, ratio), scores in curves.items():
        for seed in (0, 1):
            for steps, oa in zip((10, 20, 40), scores, strict=True):
                row = {"strategy": strategy, "ratio": ratio, "steps": steps, "seed": seed}
                rows.append({**row, "oa": oa + seed, "rate": 0.1, "edge": False})
    return pd.DataFrame(rows)


def test_times_to_the_target_by_hand() -> None:
    """The target is 69: one process gets there between 10 and 20 steps, the plain mean at 40."""
    runs = runs_of(
        {
            (rival_times.EXACT, 0.0): (59.0, 70.0, 80.0),
            (rival_times.HALF, 0.0): (69.0, 75.0, 80.0),
            ("uneven-plain", 4.0): (40.0, 50.0, 69.0),
            (rival_times.local_name("mean"), 4.0): (10.0, 20.0, 30.0),
            (rival_times.local_name("samples"), 4.0): (59.0, 70.0, 80.0),
        }
    )
    table = rival_times.rivals_table(runs).set_index("strategy")
    alone = 10 * 2 ** (10 / 11)
    assert table.steps["balanced"] == pytest.approx(1)
    assert table.steps["uneven-plain"] == pytest.approx(40 / alone)
    assert table.steps[rival_times.HALF] == pytest.approx(10 / alone)
    assert table.time["fastest-only"] == 1
    step = table["step (ms)"]
    expected = step["uneven-plain"] / step["fastest-only"] * 40 / alone
    assert table.time["uneven-plain"] == pytest.approx(expected)
    never = table.loc[rival_times.local_name("mean")]
    assert never.reached == 0
    assert math.isnan(never.time)


def test_weights_by_speed_and_by_samples() -> None:
    case = speeds.Case("both", ((96, 32), (64, 64)))
    by_samples = speeds.step_weights(case, "samples", 4)
    assert by_samples == pytest.approx(np.full((4, 128), 1 / 128))
    by_speed = speeds.step_weights(case, "speed", 4)
    assert by_speed.sum(1) == pytest.approx(np.ones(4))
    assert by_speed[0, [0, -1]] == pytest.approx([0.8 / 96, 0.2 / 32])
    assert by_speed[3, [0, -1]] == pytest.approx([0.8 / 64, 0.2 / 64])


def test_weights_of_each_step_are_those_of_the_step() -> None:
    """Samples of no weight change nothing."""
    half = np.zeros((STEPS, BATCH))
    half[:, : BATCH // 2] = 2 / BATCH
    data = [in_double(3)]
    (rows,) = rows_of(1)
    found = []
    for chosen, weights in ((rows, half), (rows[:, : BATCH // 2], half[0, : BATCH // 2])):
        layers = stacked(1)
        drawn = cells.batches(data, [chosen])
        descent = engine.Descent()
        engine.train(layers, drawn, steps=STEPS, rates=RATES, weights=weights, descent=descent)
        found.append([each.detach() for layer in layers for each in layer])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_the_table_of_speeds_is_paired() -> None:
    table = speeds.speed_table("made", 4, [0, 1], [100])
    assert len(table) == 2 * len(speeds.CASES)
    assert table.difference.tolist() == pytest.approx(table["by speed"] - table["by samples"])
    n_eff = table.groupby("case", sort=False).n_eff.first().tolist()
    assert n_eff[1] == pytest.approx(64 / (0.8**2 + 0.2**2))
    assert n_eff[0] == pytest.approx(1 / (0.64 / 107 + 0.04 / 21))
    means = speeds.over_seeds(table)
    assert means.seeds.tolist() == [2, 2, 2]


def test_the_control_of_local_sgd_is_as_small_a_batch() -> None:
    """Twice as fast as its control in steps, and each round costs an exchange beside them."""
    scores = (69.0, 75.0, 80.0)
    runs = runs_of(
        {
            (rival_times.EXACT, 0.0): (59.0, 70.0, 80.0),
            (rival_times.HALF, 0.0): (59.0, 69.0, 80.0),
            (rival_times.local_name("mean"), 4.0): scores,
            (rival_times.local_name("samples"), 4.0): (59.0, 69.0, 80.0),
        }
    )
    table = rival_times.control_table(runs).set_index("strategy")
    found = table.steps.tolist()
    assert found == pytest.approx([0.5, 1.0])
    times = rival_times.step_times(rival_times.fleet(4.0), 4.0)
    cost = times[rival_times.local_name("mean")] / times[rival_times.HALF]
    assert table.time.tolist() == pytest.approx([0.5 * cost, cost])
