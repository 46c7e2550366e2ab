"""What the notebooks on scaling and drift compute and draw, in cases whose answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import hetlib
from hetlib.planning.simulate import ring_all_reduce
from hetlib_bundle import figures, paths
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.studies import drift, traces
from hetlib_bundle.studies.scaling import (
    adding_pays,
    balanced_shares,
    fixed_cost,
    mixed,
    scaling,
)

FAST = hetlib.SpeedModel.constant(5000.0, overhead=0.002)
FREE = ring_all_reduce(0.0, 1.0)


# Scaling


@pytest.mark.parametrize(
    ("replicas", "ratio"),
    [
        (1, 4),
        (2, 4),
        (5, 2),
        (6, 30),
        (6, 200),
    ],
)
def test_closed_form_shares_are_those_of_the_partition(replicas: int, ratio: float) -> None:
    models = mixed(FAST, replicas, ratio)
    batch = 64 * replicas
    shares = balanced_shares(models, batch)
    exact = hetlib.partition(models, batch).shares
    assert shares.sum() == pytest.approx(batch)
    assert np.abs(shares - exact).max() <= 1


def test_scaling_without_costs_reaches_the_ideal_and_equal_shares_the_slowest() -> None:
    model = hetlib.SpeedModel.constant(5000.0)
    rows = scaling(model, 8, 4.0, local_batch=64, ring=FREE, steps=2)
    rows = rows.set_index("strategy")
    assert rows.ideal["balanced"] == 4 + 4 / 4
    assert rows.speedup["balanced"] == pytest.approx(5)
    assert rows.efficiency["balanced"] == pytest.approx(1)
    assert rows.speedup["equal"] == pytest.approx(8 / 4)
    assert rows.speedup["fastest-only"] == 1


def test_a_slow_device_pays_only_where_its_communication_is_cheap() -> None:
    model = hetlib.SpeedModel.constant(1000.0)
    assert adding_pays(model, 4.0, 500, FREE) == pytest.approx(1.25)
    saved = model.time(500) - model.time(400)
    assert adding_pays(model, 4.0, 500, fixed_cost(0.9 * saved)) > 1
    assert not adding_pays(model, 4.0, 500, fixed_cost(1.1 * saved)) > 1


# Drift

MODELS = [hetlib.SpeedModel.constant(1000.0)] * 2


def test_a_trace_holds_each_change_until_the_next_and_noise_keeps_its_bursts() -> None:
    changes = [
        (1, (4.0, 1.0)),
        (3, (1.0, 1.0)),
    ]
    trace = traces.schedule(5, changes)
    assert trace[:, 0].tolist() == [1, 4, 4, 1, 1]
    assert trace[:, 1].tolist() == [1, 1, 1, 1, 1]
    measured = np.arange(100.0).reshape(50, 2)
    drawn = traces.resample(measured, 30, 0, block=10)
    assert drawn.shape == (30, 2)
    for begin in (0, 10, 20):
        block = drawn[begin : begin + 10, 0]
        assert np.ptp(np.diff(block)) == 0


def test_a_static_plan_follows_by_hand_and_the_optimum_is_the_best_plan_of_each_step() -> None:
    trace = traces.schedule(4, [(2, (3.0, 1.0))])
    followed = drift.follow(MODELS, (50, 50), trace)
    assert followed.seconds == pytest.approx([0.05, 0.05, 0.15, 0.15])
    assert followed.plans == [(0, (50, 50))]
    best = drift.optimum(MODELS, 100, trace)
    assert best == pytest.approx([0.05, 0.05, 0.075, 0.075])


def test_a_rebalanced_plan_reaches_the_optimum_on_a_trace() -> None:
    trace = traces.schedule(80, [(50, (3.0, 1.0))])
    rebalancer = hetlib.Rebalancer(MODELS, (50, 50))
    followed = drift.follow(MODELS, (50, 50), trace, rebalancer)
    _, (step, shares) = followed.plans
    assert shares == (25, 75)
    assert 50 < step <= 60
    best = drift.optimum(MODELS, 100, trace)
    assert followed.seconds[60:] == pytest.approx(best[60:])


def test_told_is_when_shares_follow_a_change() -> None:
    plans = [(0, (68, 60)), (51, (17, 111))]
    slow = drift.told_change(plans, 45, 70)
    assert slow == "the shares 17/111 began at step 51, 6 steps later"
    recovered = drift.told_change(plans, 70, 95)
    assert recovered == "the shares did not change in the 25 steps that followed"
    again = drift.told_change([*plans, (60, (30, 98))], 45, 70)
    assert again.endswith("6 steps later, and changed 1 more times")


def test_noise_of_a_record_is_free_of_its_plans_and_drift() -> None:
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1]))
    experiment = hetlib.Experiment(
        global_batch=32,
        shares=(24, 8),
        max_steps=12,
        epochs=20,
        dataset_options={"per_class": 16},
        plans=((6, (8, 24)),),
        drift=((9, (4.0, 1.0)),),
    )
    record = hetlib.train(experiment, virtual)
    levels = [
        *(6 * [(3.0, 1.0)]),
        *(3 * [(1.0, 3.0)]),  # the other plan
        *(3 * [(4.0, 3.0)]),  # replica 0 slowed down
    ]
    bursts = np.where(np.arange(12) % 6 == 4, 2.0, 1.0)
    seconds = np.array(levels) * bursts[:, None]
    record.steps = {"compute": seconds.tolist()}
    found = traces.noise(record)
    assert found.shape[1] == 2
    assert set(found.ravel()) <= {1.0, 2.0}
    assert 2.0 in found


# Figures


def modelled(
    replicas: int,
    ratio: float,
    ring: Callable[[int], float] = FREE,
) -> pd.DataFrame:
    return scaling(FAST, replicas, ratio, local_batch=16, ring=ring, steps=2)


def by_replicas_and_ratio() -> pd.DataFrame:
    rows = []
    for replicas in (1, 2, 8):
        rows += [modelled(replicas, ratio) for ratio in (2, 4)]
    return pd.concat(rows)


ROWS = by_replicas_and_ratio()
BY_RATIO = ROWS[ROWS.replicas == 2]
BY_COST = pd.concat([modelled(2, 4, fixed_cost(cost)) for cost in (0.0, 0.01)])
GAIN = np.array(
    [
        [0.4, 0.4, 0.3],
        [1.6, 1.2, 0.9],
    ]
)
PLANS = [
    (0, (8, 8)),
    (9, (4, 12)),
    (20, (8, 8)),
]
KIND = (np.full(20, 0.03), PLANS)


class Drawn(NamedTuple):
    """A figure that is drawn by a call, and how wide it has to be, in inches."""

    width: float
    draw: Callable[[], Figure]


def one_drift() -> Figure:
    return figures.drift_figure({"One": {"proportional": KIND}})


def two_drifts() -> Figure:
    panels = {
        "One": {"static": KIND},
        "Two": {"re-fit": KIND, "optimum": KIND},
    }
    return figures.drift_figure(panels)


def three_panels() -> Figure:
    by_replicas = ROWS[ROWS.ratio == 4]
    return figures.scaling_figure(by_replicas, BY_RATIO, BY_COST)


def one_panel() -> Figure:
    ratios = [1, 4, 16]
    bandwidths = [1, 10]
    return figures.pays_figure(ratios, bandwidths, GAIN)


DRAWN = {
    "scaling": Drawn(7.16, three_panels),
    "efficiency": Drawn(7.16, lambda: figures.efficiency_figure(ROWS)),
    "pays": Drawn(3.5, one_panel),
    "drift": Drawn(7.16, two_drifts),
    "one drift": Drawn(7.16, one_drift),
}


@pytest.mark.parametrize("name", DRAWN)
def test_size_and_bytes(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = keeper("00", "quick", "computed")
    saved = []
    for folder in ("a", "b"):
        results = tmp_path / folder
        monkeypatch.setattr(paths, "RESULTS", results)
        figure = DRAWN[name].draw()
        products.save_figure(figure, "00_some", caption="Some.", keep=keep)
        files = sorted(results.rglob("00_some.*"))
        saved.append([file.read_bytes() for file in files])
    assert figure.get_figwidth() == DRAWN[name].width
    assert saved[0] == saved[1]
    assert b"/Type3" not in saved[0][1]


def test_panels_have_one_axis_of_steps_and_shade_their_stretches() -> None:
    short = (KIND[0][:10], ())
    panels = {"One": {"static": short}, "Two": {"static": KIND}}
    figure = figures.drift_figure(panels, {"Two": [(3, 7, "slow")]})
    limits = [axes.get_xlim() for axes in figure.axes]
    assert limits == [(0, len(KIND[0]) - 1)] * 2
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], ["slow"]]


def test_new_plans_are_marked_where_they_begin() -> None:
    axes = figures.drift_figure({"One": {"static": KIND}}).axes[0]
    marked = [line for line in axes.lines if line.get_marker() == "v"]
    assert [line.get_xdata().tolist() for line in marked] == [[9]]  # type: ignore[union-attr]
