"""CNNs for hyperspectral windows."""

import pytest
import torch

from hetlib.models import build_model


@pytest.mark.parametrize("name", ["spectral", "spectral_spatial"])
@pytest.mark.parametrize(("bands", "size"), [(200, 9), (30, 9), (1, 1), (103, 5)])
def test_any_number_of_bands_and_small_windows(name, bands, size):
    model = build_model(name, bands=bands, classes=16, size=size)
    outputs = model(torch.randn(3, bands, size, size))
    assert outputs.shape == (3, 16)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_spectral_network_reads_the_centre_pixel_alone():
    model = build_model("spectral", bands=20, classes=4, size=5)
    images = torch.randn(2, 20, 5, 5)
    around = images + 1.0
    around[:, :, 2, 2] = images[:, :, 2, 2]
    torch.testing.assert_close(model(images), model(around))
    centre = images.clone()
    centre[:, :, 2, 2] += 1.0
    assert (model(images) - model(centre)).abs().max() > 1e-4


def test_windows_smaller_than_a_network_takes_are_refused():
    with pytest.raises(ValueError, match="16 pixels wide for resnet8"):
        build_model("resnet8", bands=3, classes=2, size=8)
    with pytest.raises(ValueError, match="least 1 pixels"):
        build_model("spectral", bands=3, classes=2, size=0)
