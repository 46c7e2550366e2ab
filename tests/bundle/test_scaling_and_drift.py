"""What the notebooks on scaling and drift compute and draw, in cases whose answer is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import hetlib
from hetlib.planning.simulate import ring_all_reduce
from hetlib_bundle import figures
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.studies import drift
from hetlib_bundle.studies.scaling import adding_pays, balanced_shares, mixed, scaling

FAST = hetlib.SpeedModel.constant(5000.0, overhead=0.002)
FREE = ring_all_reduce(0.0, 1.0)


# Scaling


@pytest.mark.parametrize(("replicas", "ratio"), [(1, 4), (2, 4), (5, 2), (6, 30), (6, 200)])
def test_closed_form_shares_are_those_of_the_partition(replicas: int, ratio: float) -> None:
    models, batch = mixed(FAST, replicas, ratio), 64 * replicas
    shares = balanced_shares(models, batch)
    assert shares.sum() == pytest.approx(batch)
    assert np.abs(shares - hetlib.partition(models, batch).shares).max() <= 1


def test_scaling_without_costs_reaches_the_ideal_and_equal_shares_the_slowest() -> None:
    rows = scaling(hetlib.SpeedModel.constant(5000.0), 8, 4.0, 64, FREE, steps=2).set_index(
        "strategy"
    )
    assert rows.ideal["balanced"] == 4 + 4 / 4
    assert rows.speedup["balanced"] == pytest.approx(5)
    assert rows.efficiency["balanced"] == pytest.approx(1)
    assert rows.speedup["equal"] == pytest.approx(8 / 4)
    assert rows.speedup["fastest-only"] == 1


def test_a_slow_device_pays_only_where_its_communication_is_cheap() -> None:
    model = hetlib.SpeedModel.constant(1000.0)
    assert adding_pays(model, 4.0, 500, FREE) == pytest.approx(1.25)
    saved = model.time(500) - model.time(400)
    for cost, pays in ((0.9 * saved, True), (1.1 * saved, False)):
        assert (adding_pays(model, 4.0, 500, lambda k, cost=cost: cost * (k > 1)) > 1) == pays  # type: ignore[misc]


# Drift

MODELS = [hetlib.SpeedModel.constant(1000.0)] * 2


def test_a_trace_holds_each_change_until_the_next_and_noise_keeps_its_bursts() -> None:
    trace = drift.schedule(5, [(1, (4.0, 1.0)), (3, (1.0, 1.0))])
    assert trace.tolist() == [[1, 1], [4, 1], [4, 1], [1, 1], [1, 1]]
    measured = np.arange(100.0).reshape(50, 2)
    drawn = drift.resample(measured, 30, 0, block=10)
    assert drawn.shape == (30, 2)
    assert all(np.ptp(np.diff(drawn[k : k + 10, 0])) == 0 for k in (0, 10, 20))


def test_a_static_plan_follows_by_hand_and_the_optimum_is_the_best_plan_of_each_step() -> None:
    trace = drift.schedule(4, [(2, (3.0, 1.0))])
    followed = drift.follow(MODELS, (50, 50), trace)
    assert followed.seconds == pytest.approx([0.05, 0.05, 0.15, 0.15])
    assert followed.plans == [(0, (50, 50))]
    assert drift.optimum(MODELS, 100, trace) == pytest.approx([0.05, 0.05, 0.075, 0.075])


def test_a_rebalanced_plan_reaches_the_optimum_on_a_trace() -> None:
    trace = drift.schedule(80, [(50, (3.0, 1.0))])
    followed = drift.follow(MODELS, (50, 50), trace, hetlib.Rebalancer(MODELS, (50, 50)))
    assert followed.plans[1:] == [(followed.plans[1][0], (25, 75))]
    assert 50 < followed.plans[1][0] <= 60
    assert followed.seconds[60:] == pytest.approx(drift.optimum(MODELS, 100, trace)[60:])


def test_noise_of_a_record_is_free_of_its_plans_and_drift() -> None:
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 1]))
    size = {
        "global_batch": 32,
        "shares": (24, 8),
        "max_steps": 12,
        "epochs": 20,
        "dataset_options": {"per_class": 16},
    }
    record = hetlib.train(
        hetlib.Experiment(plans=((6, (8, 24)),), drift=((9, (4.0, 1.0)),), **size), virtual
    )  # type: ignore[arg-type]
    levels = np.repeat([[3.0, 1.0], [1.0, 3.0], [4.0, 3.0]], [6, 3, 3], axis=0)
    record.steps = {
        "compute": (levels * np.where(np.arange(12) % 6 == 4, 2.0, 1.0)[:, None]).tolist()
    }
    found = drift.noise(record)
    assert found.shape[1] == 2
    assert set(found.ravel()) <= {1.0, 2.0}
    assert 2.0 in found


# Figures

ROWS = pd.concat([scaling(FAST, k, r, 16, FREE, steps=2) for k in (1, 2, 8) for r in (2, 4)])
BY_RATIO = ROWS[ROWS.replicas == 2]
BY_COST = pd.concat(
    [scaling(FAST, 2, 4, 16, lambda k, c=c: c * (k > 1), steps=2) for c in (0.0, 0.01)]
)  # type: ignore[misc]
KIND = (np.full(20, 0.03), [(0, (8, 8)), (9, (4, 12)), (20, (8, 8))])
DRAWN: dict[str, tuple[float, Callable[[], Figure]]] = {
    "scaling": (7.16, lambda: figures.scaling_figure(ROWS[ROWS.ratio == 4], BY_RATIO, BY_COST)),
    "efficiency": (7.16, lambda: figures.efficiency_figure(ROWS)),
    "pays": (
        3.5,
        lambda: figures.pays_figure(
            [1, 4, 16], [1, 10], np.array([[0.4, 0.4, 0.3], [1.6, 1.2, 0.9]])
        ),
    ),
    "drift": (
        7.16,
        lambda: figures.drift_figure(
            {"One": {"static": KIND}, "Two": {"re-fit": KIND, "optimum": KIND}}
        ),
    ),
    "one drift": (7.16, lambda: figures.drift_figure({"One": {"proportional": KIND}})),
}


@pytest.mark.parametrize("name", DRAWN)
def test_size_and_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    width, draw = DRAWN[name]
    saved = []
    for folder in ("a", "b"):
        monkeypatch.setattr(products.paths, "RESULTS", tmp_path / folder)
        figure = draw()
        products.save_figure(
            figure, "00_some", caption="Some.", keep=keeper("00", "quick", "computed")
        )
        saved.append([file.read_bytes() for file in sorted((tmp_path / folder).rglob("00_some.*"))])
    assert figure.get_figwidth() == width
    assert saved[0] == saved[1]
    assert b"/Type3" not in saved[0][1]


def test_new_plans_are_marked_where_they_begin() -> None:
    axes = figures.drift_figure({"One": {"static": KIND}}).axes[0]
    marks = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "v"]  # type: ignore[union-attr]
    assert marks == [[9]]
