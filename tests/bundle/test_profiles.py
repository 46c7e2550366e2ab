"""Sizes: what a notebook's parameters choose, and which claims a profile can decide."""

from pathlib import Path

import pytest

from hetlib.datasets.catalog import load_dataset
from hetlib_bundle import claims
from hetlib_bundle.profiles import PROFILES, chosen, get_profile


def test_names_come_from_the_parameter_or_the_profile() -> None:
    assert chosen([], ("wake",)) == ("wake",)
    assert chosen(["eurosat"], ("wake",)) == ("eurosat",)
    # as papermill -p gives it
    assert chosen("eurosat, wake", ("brandenburg",)) == ("eurosat", "wake")
    assert chosen("", ("brandenburg",)) == ("brandenburg",)


def test_options_fit_the_kind_of_data_set() -> None:
    quick = get_profile("quick")
    assert quick.dataset_options("brandenburg") == {
        "per_class": quick.per_class,
        "split_by": "blocks",
    }
    assert quick.dataset_options("wake") == {"per_class": quick.per_class}
    assert quick.dataset_options("eurosat") == {"size": quick.pixels}
    assert get_profile("full").dataset_options("eurosat") == {}


def test_eurosat_opens_with_them(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETLIB_DATA", str(real_data))
    options = get_profile("quick").dataset_options("eurosat")
    data = load_dataset("eurosat", "test", **options)
    assert data.image_shape == (3, 32, 32)


@pytest.mark.parametrize("profile", ["standard", "full"])
def test_the_larger_profiles_can_decide_every_claim_about_the_embedded_data(profile: str) -> None:
    size = PROFILES[profile]
    seeds = len(size.seeds)
    runs = {"07_accuracy": seeds, "09_time": size.repeats, "14_settings": seeds}
    for claim in claims.load().values():
        notebook = claim.source["notebook"]
        if notebook not in runs or "run_with" in claim.source:
            continue
        assert runs[notebook] >= claim.least, claim.id
        assert len(size.datasets) >= claim.grid[0], claim.id
        assert len(size.models) >= claim.grid[1], claim.id
        assert claim.data.get("dataset", size.datasets[0]) in size.datasets, claim.id
        assert claim.data.get("model", size.models[0]) in size.models, claim.id
