"""Samples as pictures, and the shape in which torchgeo has data sets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.figure import Figure
from torch.utils.data import DataLoader

from hetlib.datasets import ImageDataset, IndianPines, LandCoverScene, load_dataset
from hetlib.datasets.plotting import colour_bands, stretched

from .scenes import Open, Options


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def drawn(figure: Figure) -> np.ndarray:
    """The pixels of the one picture in a figure."""
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    (image,) = axes.images
    return np.asarray(image.get_array())


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        (("blue", "green", "red", "nir"), [2, 1, 0]),
        (("B01", "B02", "B03", "B04", "B8A"), [3, 2, 1]),
        (("B1_blue", "B2_green", "B3_red", "B4_nir"), [2, 1, 0]),
        (("nir", "swir", "red"), [0, 1, 2]),
        (("infrared", "bluegreen", "x", "y"), [0, 1, 2]),
        (("grey",), [0]),
        (("a", "b"), [0]),
    ],
)
def test_bands_of_colours(bands: tuple[str, ...], expected: list[int]) -> None:
    assert colour_bands(bands) == expected


def test_stretch() -> None:
    layer = np.arange(101.0).reshape(1, 101)
    out = stretched(layer)
    assert out[0, [0, 2, 50, 98, 100]].tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert (stretched(np.full((2, 2), 7.0)) == 0.5).all()
    gap = np.array([[np.nan, 1.0, 2.0]])
    assert np.isfinite(stretched(gap)).all()
    assert (stretched(np.full((2, 2), np.nan)) == 0.5).all()


def test_plot_has_colours_in_their_places_and_names_the_class(tmp_path: Path) -> None:
    data = load_dataset("brandenburg", per_class=3, cache=tmp_path)
    sample = data[0]
    sample["prediction"] = torch.tensor(1)
    figure = data.plot(sample, suptitle="One of them")
    (axes,) = figure.axes
    assert axes.get_title() == "Label: water\nPrediction: forest\nR, G, B: B04, B03, B02"
    assert figure.get_suptitle() == "One of them"
    picture = drawn(figure)
    red = sample["image"][data.bands.index("B04")].numpy()
    assert np.corrcoef(picture[..., 0].ravel(), red.ravel())[0, 1] > 0.9
    assert not data.plot(sample, show_titles=False).axes[0].get_title()


def test_plots_of_other_bands(open_tree: Open, scene: Options, tmp_path: Path) -> None:
    tree: ImageDataset = open_tree()
    assert drawn(tree.plot(tree[0])).shape == (8, 8, 3)
    two = LandCoverScene(**scene)
    assert drawn(two.plot(two[0])).shape == (6, 6)
    spectra = IndianPines(window=1, components=None, cache=tmp_path)
    (axes,) = spectra.plot(spectra[0]).axes
    assert len(axes.lines[0].get_ydata()) == 200
    assert "one pixel, 200 bands" in axes.get_title()


def test_plot_of_a_batch_is_refused(scene: Options) -> None:
    data = LandCoverScene(**scene)
    batch = next(iter(DataLoader(data, batch_size=4)))
    with pytest.raises(ValueError, match=r"must be \(bands, height, width\), got \(4, 2, 6, 6\)"):
        data.plot(batch)


def test_samples_in_torch_and_torchgeo(scene: Options) -> None:
    def scaled(sample: dict) -> dict:
        sample["image"] = sample["image"] / 1000
        return sample

    data = LandCoverScene(**scene, transforms=scaled)
    batch = next(iter(DataLoader(data, batch_size=4)))
    assert batch["image"].shape == (4, 2, 6, 6)
    assert batch["image"].dtype == torch.float32
    assert batch["label"].dtype == torch.int64
    assert batch["image"].max() < 10

    utils = pytest.importorskip("torchgeo.datasets.utils", reason="needs the extra [trainers]")
    stacked = next(iter(DataLoader(data, batch_size=4, collate_fn=utils.stack_samples)))
    assert torch.equal(stacked["image"], batch["image"])
    assert torch.equal(stacked["label"], batch["label"])
    samples = utils.unbind_samples(stacked)
    assert isinstance(data.plot(samples[0]), Figure)
