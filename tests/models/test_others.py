"""Networks without an entry: torchvision's by name, timm's, and code of the reader's own."""

import sys

import pytest
import torch
from torch import nn

from hetlib.errors import MissingDependencyError
from hetlib.models.registry import build_model, check_model, depends_on_batch


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet50", 16),
        ("efficientnet_b0", 32),
        ("regnet_y_400mf", 16),
        ("shufflenet_v2_x0_5", 32),
        ("squeezenet1_1", 32),
        ("mobilenet_v2", 16),
        ("googlenet", 64),
    ],
)
def test_networks_of_torchvision_train_on_any_bands(name, size):
    model = build_model(name, bands=6, classes=5, size=size)
    outputs = model(torch.randn(2, 6, size, size))
    assert outputs.shape == (2, 5)
    outputs.sum().backward()


def test_options_and_norms_of_torchvision():
    kinds = {"bands": 3, "classes": 2, "size": 32}
    grouped = build_model("resnet34", norm="group", **kinds)
    assert not depends_on_batch("resnet34", "group", grouped)
    own = build_model("resnet34", **kinds)
    assert depends_on_batch("resnet34", None, own)
    balanced = build_model("mobilenet_v2", norm="balanced", dropout=0.5, **kinds)
    assert "BalancedBatchNorm2d" in str(balanced)
    assert any(isinstance(one, nn.Dropout) and one.p == 0.5 for one in balanced.modules())
    with pytest.raises(ValueError, match=r"`model` 'resnet34'.*`model_options`.*depht"):
        build_model("resnet34", depht=3, **kinds)
    with pytest.raises(ValueError, match="no BatchNorm"):
        build_model("alexnet", norm="batch", bands=3, classes=2, size=64)


# More digits than Python writes.
LARGE = pytest.param(10**5000, id="large")


@pytest.mark.parametrize("name", ["resnet", 7, None, ["resnet18"], "fcn_resnet50", LARGE])
def test_a_network_that_there_is_not(name):
    message = r"`model` is .*known models .*'smallcnn'.*module:callable"
    with pytest.raises(ValueError, match=message):
        check_model(name, {})


def test_weights_are_random():
    with pytest.raises(ValueError, match="'weights'"):
        check_model("resnet50", {"weights": "DEFAULT"})


def test_timm_is_asked_for_by_its_networks_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r"timm.*\.\[timm\]"):
        check_model("timm:resnet26", {})


def test_networks_of_timm():
    pytest.importorskip("timm")
    model = build_model("timm:resnet26", bands=4, classes=3, size=32)
    assert model(torch.randn(2, 4, 32, 32)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"timm has no 'resnet27'.*'resnet26'"):
        check_model("timm:resnet27", {})
