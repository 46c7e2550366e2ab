"""Data sets of the reader's own: which samples are taken, and what is said of others."""

import sys
import types

import numpy as np
import pytest
import torch
from PIL import Image

from hetlib.datasets.catalog import load_dataset
from hetlib.datasets.naming import data_name


class Given:
    """Samples as a function makes them of their number."""

    def __init__(self, make, count=20, **attributes):
        self.make = make
        self.count = count
        vars(self).update(attributes)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return self.make(i)


@pytest.fixture
def brought(monkeypatch):
    """Open a data set of the reader's, of a module that is made here."""

    def opened(make, split="train"):
        module = types.ModuleType("brought_here")
        module.make = make
        monkeypatch.setitem(sys.modules, "brought_here", module)
        return load_dataset("brought_here:make", split)

    return opened


def grey(i):
    return np.full((4, 6), i, np.uint8)


KINDS = {
    "array": lambda i: (grey(i), i % 2),
    "bands first": lambda i: (grey(i)[None], np.int64(i % 2)),
    "tensor": lambda i: (torch.from_numpy(grey(i)), torch.tensor(i % 2)),
    "float": lambda i: [torch.from_numpy(grey(i)).double(), i % 2],
    "picture": lambda i: {"image": Image.fromarray(grey(i)), "label": i % 2, "name": "x"},
    "list": lambda i: (grey(i).tolist(), np.array(i % 2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_images_and_labels_of_any_type(brought, kind):
    data = brought(lambda: Given(KINDS[kind]))
    assert data.image_shape == (1, 4, 6)
    assert data.bands == ("grey",)
    images, labels = data.gather(range(len(data)), standardise=False)
    assert torch.equal(images[:, 0, 0, 0] % 2, labels.float())
    item = data[3]
    assert item["image"].dtype == torch.float32
    assert item["label"] == labels[3]


def test_pictures_of_colours_are_bands_first(brought):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (20, 5, 7, 3), dtype=np.uint8)
    data = brought(lambda: Given(lambda i: (Image.fromarray(pixels[i]), i % 2)))
    assert data.image_shape == (3, 5, 7)
    assert data.bands == ("red", "green", "blue")


def test_names_of_its_own_and_missing_values(brought):
    def make(i):
        image = np.full((2, 3, 3), float(i))
        image[0, 0, 0] = np.nan
        return image, i % 3

    names = {"classes": ["a", "b", "c"], "bands": ["vv", "vh"]}
    data = brought(lambda: Given(make, **names))
    assert data.classes == ("a", "b", "c")
    assert data.bands == ("vv", "vh")
    images, _ = data.gather(range(len(data)))
    assert images.isfinite().all()
    assert (images[:, 0, 0, 0] == 0).all()


def test_one_object_is_dealt_and_several_are_taken_as_they_are(brought):
    one = Given(lambda i: (grey(i), i % 2), count=40)
    other = Given(lambda i: (grey(100 + i), i % 2), count=8)
    for make in (lambda: one, lambda split: one):
        sizes = [len(brought(make, split)) for split in ("train", "validation", "test")]
        assert sizes == [24, 4, 12]

    def make(split):
        return other if split == "test" else one

    assert len(brought(make, "train")) == len(brought(make, "validation")) == 40
    test = brought(make, "test")
    images, _ = test.gather(range(len(test)), standardise=False)
    assert len(test) == 8
    assert images.min() == 100


def broken(i):
    raise OSError("disk gone")


WRONG = {
    "shapes": (lambda: Given(lambda i: (np.zeros((1, 4 + i, 4)), 0)), r"sample 1 .*\(1, 5, 4\)"),
    "flat": (lambda: Given(lambda i: (np.zeros(4), 0)), r"sample 0 .*\(4,\).*bands, height"),
    "text": (lambda: Given(lambda i: ("a.png", 0)), "sample 0 .*type str"),
    "image alone": (lambda: Given(grey), "sample 0 .*must be .image, label."),
    "no label": (lambda: Given(lambda i: {"image": grey(i)}), "sample 0 .*is dict"),
    "negative": (lambda: Given(lambda i: (grey(i), -1)), "sample 0 .*label -1"),
    "half": (lambda: Given(lambda i: (grey(i), 0.5)), "sample 0 .*label 0.5"),
    "masks": (lambda: Given(lambda i: (grey(i), grey(i))), "sample 0 .*the number of a class"),
    "too few names": (lambda: Given(lambda i: (grey(i), i), classes=["a"]), "the label 19"),
    "broken": (lambda: Given(broken), "sample 0 .*OSError: disk gone"),
    "no length": (lambda: iter([]), "must give an object with __len__"),
    "raises": (lambda: 1 / 0, "fails with its `dataset_options`: ZeroDivisionError"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_labelled_image_is_named(brought, kind):
    make, message = WRONG[kind]
    with pytest.raises(ValueError, match=message):
        brought(make)


def test_names_of_data():
    assert data_name("folder", {"root": "/a/My fields.v2/"}) == "My fields.v2"
    assert data_name("folder", {"root": "/a/tree.tar.gz"}) == "tree"
    assert data_name("scene", {"image": "a/b.c.tif"}) == "b.c"
    assert data_name("mine.sub:Make.all", {}) == "Make.all"
    assert data_name("wake", {}) == "wake"
