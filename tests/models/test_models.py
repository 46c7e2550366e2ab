"""Every CNN, for any bands and small windows; scores against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_cohen_kappa

from hetlib.models.registry import MODELS, build_model
from hetlib.training.evaluation import confusion_matrix, scores


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("bands", "size"), [(13, 16), (3, 64), (6, 32)])
def test_trains_on_any_bands_and_size_even_with_one_sample(name, bands, size):
    model = build_model(name, bands=bands, classes=5, size=size)
    outputs = model(torch.randn(1, bands, size, size))
    assert outputs.shape == (1, 5)
    outputs.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_the_weights_and_leaves_the_callers_generator_alone(name):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    a, b, c = (build_model(name, bands=3, classes=2, size=32, seed=seed) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def test_norms():
    kinds = {
        type(m).__name__
        for m in build_model("resnet18", bands=3, classes=2, size=32, norm="group").modules()
    }
    assert "GroupNorm" in kinds
    assert "BatchNorm2d" not in kinds
    assert "BatchNorm2d" in str(build_model("smallcnn", bands=3, classes=2, size=32, norm="batch"))
    plain, balanced = (
        build_model("mobilenet_v3_small", bands=3, classes=2, size=32, norm=n)
        for n in (None, "balanced")
    )
    # eps and momentum too
    assert str(balanced) == str(plain).replace("BatchNorm2d", "BalancedBatchNorm2d")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"name": "lenet", "size": 32}, "known models"),
        ({"name": "vgg11", "size": 32, "norm": "batch"}, "no choice"),
        ({"name": "smallcnn", "size": 8}, "16 pixels"),
    ],
)
def test_wrong_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        build_model(bands=3, classes=2, **arguments)


def test_scores_equal_torchmetrics_and_parts_add_up():
    rng = np.random.default_rng(0)
    for classes in (2, 5, 9):
        labels = torch.from_numpy(rng.integers(0, classes, 400))
        predicted = torch.where(
            torch.rand(400) < 0.6, labels, torch.from_numpy(rng.integers(0, classes, 400))
        )
        whole = confusion_matrix(labels, predicted, classes)
        parts = sum(confusion_matrix(labels[i::3], predicted[i::3], classes) for i in range(3))
        assert torch.equal(whole, parts)
        found = scores(whole.numpy())
        micro, macro = (
            multiclass_accuracy(predicted, labels, classes, average=a).item()
            for a in ("micro", "macro")
        )
        assert found["oa"] == pytest.approx(micro, abs=1e-6)
        assert found["aa"] == pytest.approx(macro, abs=1e-6)
        assert found["kappa"] == pytest.approx(
            multiclass_cohen_kappa(predicted, labels, classes).item(), abs=1e-6
        )


def test_scores_of_limits():
    assert scores(np.array([[5, 0], [0, 0]])) == {
        "oa": 1.0,
        "aa": 1.0,
        "kappa": 0.0,
    }  # one class: no agreement by skill
    assert scores(np.eye(3))["kappa"] == 1.0
