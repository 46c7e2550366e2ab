"""Class weights, and that balance() with their sum as the count is one process's gradient."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hetlib.datasets import (
    LandCoverScene,
    SceneFolder,
    class_counts,
    class_weights,
    imbalance,
)
from tests.conftest import Team

from .scenes import Open, Options
from .workers import problem, weighted_gradient


class Three:
    classes = ("a", "b", "c")

    def __init__(self, *counts: int):
        self.labels = np.repeat(np.arange(len(counts)), counts)


def test_counts_by_name(scene: Options, open_tree: Open) -> None:
    assert class_counts(LandCoverScene(**scene)) == {"water": 50, "wood": 50, "field": 50}
    tree: SceneFolder = open_tree()
    assert class_counts(tree) == {"a": 6, "b": 6, "c": 6}
    assert class_counts(Three(5, 0, 1)) == {"a": 5, "b": 0, "c": 1}
    assert imbalance(Three(5, 0, 1)) == 5


def test_inverse_frequency() -> None:
    weights = class_weights(Three(60, 30, 10))
    summed = weights * torch.tensor([60, 30, 10])
    assert summed.tolist() == pytest.approx([100 / 3] * 3)
    assert weights.dtype == torch.float32


def test_effective_number() -> None:
    weights = class_weights(Three(100, 10, 1), "effective", beta=0.9)
    # E_n = (1 - 0.9^n) / 0.1
    numbers = [9.99973, 6.51322, 1.0]
    ratios = (weights[2] / weights).tolist()
    assert ratios == pytest.approx(numbers, rel=1e-5)
    assert (weights @ torch.tensor([100.0, 10.0, 1.0])).item() == pytest.approx(111)
    assert class_weights(Three(100, 10, 1), "effective", beta=0).tolist() == pytest.approx([1] * 3)


def test_a_class_without_samples_weighs_nothing() -> None:
    assert class_weights(Three(2, 0, 2)).tolist() == [1, 0, 1]
    assert class_weights(Three(2, 0, 2), "effective").tolist() == [1, 0, 1]


@pytest.mark.parametrize("beta", [1, -0.1, "0.9"])
def test_beta_is_a_share(beta: float) -> None:
    with pytest.raises(ValueError, match="`beta`"):
        class_weights(Three(1, 2, 3), "effective", beta=beta)
    with pytest.raises(ValueError, match=r"`rule` is 'sqrt'; allowed are \['inverse', 'effective"):
        class_weights(Three(1, 2, 3), "sqrt")


def test_balanced_by_the_sum_of_weights_is_one_process(team: Team) -> None:
    weights = class_weights(Three(60, 30, 10)).double()
    model, inputs, targets = problem()
    F.cross_entropy(model(inputs), targets, weight=weights).backward()
    assert model.weight.grad is not None
    for found in team(1, 1).run(weighted_gradient, weights):
        assert (found - model.weight.grad).abs().max() < 1e-12
