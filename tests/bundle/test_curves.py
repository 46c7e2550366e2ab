"""Counts of CNNs by hand, histories from records, and their figures."""

import dataclasses

import pytest
import torch

import hetlib
from hetlib_bundle.figures import convergence_figure
from hetlib_bundle.studies.convergence import history
from hetlib_bundle.studies.costs import cost


def test_small_cnn_by_hand() -> None:
    """Three 3 x 3 convolutions on 16, 8 and 4 pixels, and a linear layer.

    GroupNorm has two numbers a channel.
    """
    found = cost(
        "smallcnn",
        bands=6,
        classes=7,
        size=16,
        batches=[2, 4],
        seconds=0.0,
    )
    kernels = [
        6 * 32 * 9,
        32 * 64 * 9,
        64 * 128 * 9,
    ]
    norms = 2 * (32 + 64 + 128)
    linear = 128 * 7
    assert found["parameters"] == sum(kernels) + norms + linear + 7
    pixels = [16 * 16, 8 * 8, 4 * 4]
    convolutions = sum(kernel * count for kernel, count in zip(kernels, pixels, strict=True))
    assert found["multiply-adds"] == convolutions + linear
    assert found["all-reduced bytes"] == 4 * found["parameters"]
    assert found["norm layers"] == "3 GroupNorm"
    line = found["fixed (ms)"] + 4 * found["per sample (ms)"]
    assert line == pytest.approx(found["step 4 (ms)"])
    assert found["step 2 (ms)"] > 0


@pytest.mark.parametrize(
    ("name", "norms"),
    [("vgg11", "none"), ("mobilenet_v3_small", "34 BatchNorm2d")],
)
def test_norm_layers(name: str, norms: str) -> None:
    found = cost(
        name,
        bands=3,
        classes=2,
        size=16,
        batches=[2, 3],
        seconds=0.0,
    )
    assert found["norm layers"] == norms


@pytest.fixture(scope="module")
def records() -> list[hetlib.RunRecord]:
    """Return the runs of single, seeds 0 and 1, and of balanced."""
    torch.set_num_threads(1)
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 4]))
    base = hetlib.Experiment(
        global_batch=32,
        shares=(24, 8),
        epochs=2,
        dataset_options={"per_class": 16},
    )
    runs = []
    for name in ("single", "balanced"):
        for seed in (0, 1):
            run = dataclasses.replace(base, strategy=name, seed=seed)
            runs.append(hetlib.train(run, virtual))
    return runs


def test_history_has_a_row_an_evaluation_and_its_seconds(records: list[hetlib.RunRecord]) -> None:
    frame = history(records, {"balanced": 0.5})
    epochs = frame.groupby(["strategy", "seed"]).epoch.apply(list)
    assert epochs.tolist() == [[1, 2]] * 4
    balanced = frame[frame.strategy == "balanced"]
    balanced = balanced[balanced.seed == 0]
    assert balanced.seconds.tolist() == [0.5 * step for step in balanced.step]
    single = frame[frame.strategy == "single"]
    assert single.seconds.isna().all()
    losses = [evaluation["loss"] for evaluation in records[2].epochs]
    assert balanced.loss.tolist() == losses


def test_convergence_figure_draws_means_over_seeds(records: list[hetlib.RunRecord]) -> None:
    settings = records[0].experiment | {"strategy": "equal"}
    other = dataclasses.replace(records[0], experiment=settings)
    seconds = {"balanced": 0.5, "single": 0.1, "equal": 1.0}
    frame = history([*records, other], seconds)
    figure = convergence_figure(frame)
    assert figure.get_figwidth() == 7.16
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["single", "equal", "balanced"]
    lines = {line.get_label(): line for line in figure.axes[3].lines}
    drawn = lines["balanced"]
    balanced = frame[frame.strategy == "balanced"]
    percent = 100 * balanced.groupby("epoch").oa.mean()
    assert drawn.get_ydata().tolist() == pytest.approx(percent.tolist())
    first = records[2].epochs[0]
    assert drawn.get_xdata()[0] == pytest.approx(0.5 * first["step"])


def test_ticks_are_whole_epochs_and_plain_seconds(records: list[hetlib.RunRecord]) -> None:
    frame = history(records, {"balanced": 1.0, "single": 4.0})
    figure = convergence_figure(frame)
    figure.draw_without_rendering()
    *_, epochs, seconds = figure.axes
    assert all(float(place).is_integer() for place in epochs.get_xticks())
    low, high = seconds.get_xlim()
    assert high / low < 10  # where powers of ten are too few
    between = [text.get_text() for text in seconds.get_xticklabels(minor=True)]
    assert any(between)
    assert all(text == "" or float(text) > 0 for text in between)
