"""What each sample counts, who draws which, and what the plain mean then expects."""

import numpy as np
import pytest
import torch

from hetlib_bundle.studies.many import cells, draws, engine
from hetlib_bundle.studies.many.conditions import Condition, n_eff_ratio
from hetlib_bundle.studies.shards import sample_weights
from tests.bundle.many import made

SHARES = (90, 26, 9, 3)


@pytest.mark.parametrize(
    ("condition", "n_eff"),
    [
        (Condition("single", (128,)), 128),
        (Condition("balanced", SHARES), 128),
        (Condition("plain", SHARES), 32.42),
        (Condition("small", SHARES), 32),
        (Condition("plain", (64, 64)), 128),
        (Condition("plain", (107, 21)), 70.2),
    ],
)
def test_the_effective_batch(condition, n_eff):
    assert condition.n_eff == pytest.approx(n_eff, abs=0.05)
    weights = condition.sample_weights()
    assert weights.sum() == pytest.approx(1)
    assert 1 / (weights**2).sum() == pytest.approx(condition.n_eff)


def test_the_ratio_of_shares():
    assert n_eff_ratio((8, 8)) == 1
    assert n_eff_ratio((12, 4)) == pytest.approx(12 / 16)


@pytest.mark.parametrize("sampling", ["random", "region", "class", "half"])
def test_each_step_draws_each_replicas_share_from_its_own_part(sampling):
    condition = Condition("plain", SHARES, sampling)
    data = made.samples(256, 0)
    owner = draws.owners(condition, data, 5)
    assert np.bincount(owner).tolist() == [180, 52, 18, 6]  # in proportion
    rows = draws.draw(condition, data, 8, 5)
    expected = np.repeat(np.arange(4), SHARES)
    assert (owner[rows] == expected).all()
    others = [draws.owners(condition, data, seed) for seed in range(6, 12)]
    assert any((other != owner).any() for other in others)  # who has what varies with the seed


def test_draws_go_through_all_samples_equally_often():
    data = made.samples(96, 0)
    rows = draws.draw(Condition("plain", (24, 8)), data, 9, 1)
    assert rows.shape == (9, 32)
    assert np.bincount(rows.ravel()).tolist() == [3] * 96


def test_shards_by_class_and_by_half():
    data = made.samples(240, 0)
    classes = {}
    for sampling in ("random", "half", "class"):
        owner = draws.owners(Condition("plain", (200, 40), sampling), data, 2)
        classes[sampling] = np.bincount(data.labels[owner == 1], minlength=3).max()
    assert classes["class"] == 40  # all of one class
    assert classes["random"] < classes["half"] < classes["class"]


def test_strips_lie_along_a_direction():
    data = made.samples(240, 0)
    owner = draws.owners(Condition("plain", (200, 40), "region"), data, 2)
    place = data.places[:, 0]
    low, high = place[owner == 0], place[owner == 1]
    assert low.max() <= high.min() or high.max() <= low.min()
    with pytest.raises(ValueError, match="have no places"):
        draws.owners(Condition("plain", (2, 1), "region"), data._replace(places=None), 0)


@pytest.mark.parametrize("sampling", ["random", "class"])
def test_over_an_epoch_the_plain_mean_weighs_as_its_expected_gradient(sampling):
    """1 / (P N_r) for each sample of a shard of N_r: what the exact optima take."""
    shares = (24, 8)
    condition = Condition("plain", shares, sampling)
    data = made.samples(96, 0)
    steps = 3  # one epoch of both shards: 72 = 3 x 24 and 24 = 3 x 8
    rows = draws.draw(condition, data, steps, 4)
    counted = np.zeros(96)
    for step in rows:
        np.add.at(counted, step, condition.sample_weights())
    owner = draws.owners(condition, data, 4)
    expected = sample_weights(owner, "mean").numpy()
    np.testing.assert_allclose(counted / steps, expected, rtol=1e-12)


def test_the_gradient_of_a_plain_step_is_the_mean_of_the_replicas_means():
    condition = Condition("plain", (10, 4, 2), "class")
    data = made.samples(240, 1)
    network = engine.perceptron((made.FEATURES, 4, made.CLASSES), 0)
    layers = engine.stack([network], 1)
    rows = draws.draw(condition, data, 1, 0)
    inputs, labels = next(cells.batches([data], [rows]))
    losses = engine.sample_losses(engine.outputs(layers, inputs), labels)[0, 0]
    weighted = (losses * torch.from_numpy(condition.sample_weights())).sum()
    means = [part.mean() for part in losses.split([10, 4, 2])]
    assert weighted.item() == pytest.approx(sum(means).item() / 3)


def test_a_subset_is_as_large_as_the_effective_batch_says():
    data = made.samples(240, 0)
    rows = draws.draw(Condition("subset", SHARES), data, 100, 0)
    assert rows.shape == (100, 32)
    assert len(np.unique(rows)) == round(240 * n_eff_ratio(SHARES))


def test_views_are_drawn():
    data = made.samples(60, 0)
    turned = data._replace(inputs=torch.cat([data.inputs, data.inputs + 100]))
    rows = draws.draw(Condition("single", (30,)), turned, 4, 0)
    assert turned.views == 2
    assert 0.2 < (rows >= 60).mean() < 0.8
    inputs, labels = next(cells.batches([turned], [rows]))
    assert (labels[0].numpy() == data.labels[rows[0] % 60]).all()
    assert ((inputs[0].mean(1) > 50).numpy() == (rows[0] >= 60)).all()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("double", (2,)), "`kind` is 'double'"),
        (("plain", (2, 2), "sorted"), "`sampling` is 'sorted'"),
        (("plain", (2, 0)), "`shares` is"),
        (("single", (4,), "class"), "single draws 'iid'"),
    ],
)
def test_wrong_conditions_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        Condition(*arguments)
