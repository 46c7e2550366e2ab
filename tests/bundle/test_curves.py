"""Counts of CNNs by hand, histories from records, and their figures."""

import dataclasses

import pytest
import torch

import hetlib
from hetlib_bundle.figures import curves
from hetlib_bundle.studies.costs import cost


def test_small_cnn_by_hand() -> None:
    """Three 3 x 3 convolutions on 16, 8 and 4 pixels, and a linear layer; GroupNorm has two numbers a channel."""
    found = cost("smallcnn", bands=6, classes=7, size=16, batches=[2, 4], seconds=0.0)
    kernels = [6 * 32 * 9, 32 * 64 * 9, 64 * 128 * 9]
    assert found["parameters"] == sum(kernels) + 2 * (32 + 64 + 128) + 128 * 7 + 7
    pixels = [16 * 16, 8 * 8, 4 * 4]
    multiply_adds = sum(k * p for k, p in zip(kernels, pixels, strict=True)) + 128 * 7
    assert found["multiply-adds"] == multiply_adds
    assert found["all-reduced bytes"] == 4 * found["parameters"]
    assert found["norm layers"] == "3 GroupNorm"
    line = found["fixed (ms)"] + 4 * found["per sample (ms)"]
    assert line == pytest.approx(found["step 4 (ms)"])
    assert found["step 2 (ms)"] > 0


@pytest.mark.parametrize(
    ("name", "norms"), [("vgg11", "none"), ("mobilenet_v3_small", "34 BatchNorm2d")]
)
def test_norm_layers(name: str, norms: str) -> None:
    assert (
        cost(name, bands=3, classes=2, size=16, batches=[2, 3], seconds=0.0)["norm layers"] == norms
    )


@pytest.fixture(scope="module")
def records() -> list[hetlib.RunRecord]:
    torch.set_num_threads(1)
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 4]))
    settings = {
        "global_batch": 32,
        "shares": (24, 8),
        "epochs": 2,
        "dataset_options": {"per_class": 16},
    }
    return [
        hetlib.train(hetlib.Experiment(strategy=name, seed=seed, **settings), virtual)
        for name in ("single", "balanced")
        for seed in (0, 1)
    ]


def test_history_has_a_row_an_evaluation_and_its_seconds(records: list[hetlib.RunRecord]) -> None:
    frame = curves.history(records, {"balanced": 0.5})
    assert frame.groupby(["strategy", "seed"]).epoch.apply(list).tolist() == [[1, 2]] * 4
    balanced = frame[(frame.strategy == "balanced") & (frame.seed == 0)]
    assert balanced.seconds.tolist() == [0.5 * step for step in balanced.step]
    assert frame[frame.strategy == "single"].seconds.isna().all()
    assert balanced.loss.tolist() == [evaluation["loss"] for evaluation in records[2].epochs]


def test_convergence_figure_draws_means_over_seeds(records: list[hetlib.RunRecord]) -> None:
    other = dataclasses.replace(
        records[0], experiment=records[0].experiment | {"strategy": "equal"}
    )
    frame = curves.history([*records, other], {"balanced": 0.5, "single": 0.1, "equal": 1.0})
    figure = curves.convergence_figure(frame)
    assert figure.get_figwidth() == 7.16
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "single",
        "equal",
        "balanced",
    ]
    lines = {line.get_label(): line for line in figure.axes[3].lines}
    mean = frame[frame.strategy == "balanced"].groupby("epoch").oa.mean()
    assert lines["balanced"].get_ydata().tolist() == pytest.approx((100 * mean).tolist())
    assert lines["balanced"].get_xdata()[0] == pytest.approx(0.5 * records[2].epochs[0]["step"])
