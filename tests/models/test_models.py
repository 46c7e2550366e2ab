"""Every CNN, for any bands and small windows."""

import sys

import pytest
import torch

import hetlib.models
from hetlib.errors import MissingDependencyError
from hetlib.models import registry
from hetlib.models.registry import MODELS, build_model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("bands", "size"), [(13, 16), (3, 64), (6, 32)])
def test_trains_on_any_bands_and_size_even_with_one_sample(name, bands, size):
    model = build_model(name, bands=bands, classes=5, size=size)
    outputs = model(torch.randn(1, bands, size, size))
    assert outputs.shape == (1, 5)
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_the_weights_and_leaves_the_callers_generator_alone(name):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    a, b, c = (build_model(name, bands=3, classes=2, size=32, seed=seed) for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    for one, other in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def kinds(model):
    return {type(module).__name__ for module in model.modules()}


def test_norms():
    options = {"bands": 3, "classes": 2, "size": 32}
    grouped = kinds(build_model("resnet18", norm="group", **options))
    assert "GroupNorm" in grouped
    assert "BatchNorm2d" not in grouped
    assert "BatchNorm2d" in kinds(build_model("smallcnn", norm="batch", **options))
    plain = build_model("mobilenet_v3_small", **options)
    balanced = build_model("mobilenet_v3_small", norm="balanced", **options)
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


OWN = """
from torch import nn
from hetlib.models.entry import Entry

def build(*, bands, classes, size, norm):
    return nn.Sequential(nn.Flatten(), nn.Linear(bands * size**2, classes))

ENTRIES = (Entry({name!r}, (), build),)
"""


@pytest.fixture
def add_file(tmp_path, monkeypatch):
    """Put a file into the folder of CNNs that gives one of its own this name."""

    def add(name):
        (tmp_path / "own.py").write_text(OWN.format(name=name))
        monkeypatch.setattr(
            hetlib.models,
            "__path__",
            [*hetlib.models.__path__, str(tmp_path)],
        )
        monkeypatch.delitem(sys.modules, "hetlib.models.own", raising=False)

    yield add
    sys.modules.pop("hetlib.models.own", None)


def test_a_cnn_is_added_by_one_file(add_file):
    add_file("mine")
    entries = registry._collect()
    assert [*entries] == [*MODELS, "mine"]
    model = entries["mine"].build(bands=3, classes=2, size=16, norm=None)
    assert model(torch.zeros(5, 3, 16, 16)).shape == (5, 2)


def test_a_name_is_given_once(add_file):
    add_file("vgg11")
    with pytest.raises(ValueError, match="two CNNs have the name 'vgg11'"):
        registry._collect()


def test_torchvision_is_asked_for_by_its_networks_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    options = {"bands": 3, "classes": 2, "size": 16}
    assert build_model("smallcnn", **options)
    with pytest.raises(MissingDependencyError, match=r"torchvision.*\.\[vision\]"):
        build_model("resnet18", **options)


def test_weights_are_drawn_on_the_cpu_and_no_gpu_is_seeded(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    known = build_model("smallcnn", bands=3, classes=2, size=16, seed=5)
    torch.set_default_device("meta")
    try:
        found = build_model("smallcnn", bands=3, classes=2, size=16, seed=5)
    finally:
        torch.set_default_device(None)
    assert not seeded
    for one, other in zip(known.parameters(), found.parameters(), strict=True):
        assert one.equal(other)
