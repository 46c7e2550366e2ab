"""Augmentation by name: all ways, evenly, and of seed, epoch and sample alone."""

import numpy as np
import pytest
import torch

from hetlib.datasets.augment import check_augment, mirror_and_turn, ways_of


@pytest.mark.parametrize(("name", "count"), [(None, 1), ("flips", 4), ("flips-rotations", 8)])
def test_each_way_comes_as_often(name, count):
    ways = ways_of(name, samples=8000, seed=1, epoch=2)
    assert len(np.unique(ways)) == count
    assert np.bincount(ways).min() > 0.8 * 8000 / count
    assert np.array_equal(ways, ways_of(name, samples=8000, seed=1, epoch=2))
    if count > 1:
        for seed, epoch in ((1, 3), (2, 2), (2, 1)):
            other = ways_of(name, samples=8000, seed=seed, epoch=epoch)
            assert 0.5 / count < (ways == other).mean() < 1.5 / count


def test_the_ways_are_the_eight_of_a_square():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = mirror_and_turn(image.expand(8, 1, 3, 3), np.arange(8, dtype=np.uint8))
    turned = [torch.rot90(image, k, (2, 3)) for k in range(4)]
    wanted = turned + [one.flip(3) for one in turned]
    distinct = {tuple(one.flatten().tolist()) for one in found}
    assert distinct == {tuple(one.flatten().tolist()) for one in wanted}
    assert torch.equal(found[0], image[0])
    assert torch.equal(image.flatten(), torch.arange(9.0))  # the given images stay


def test_only_square_images_are_turned():
    check_augment("flips", (3, 4, 5))
    check_augment("flips-rotations", (3, 5, 5))
    with pytest.raises(ValueError, match="`augment` is 'flips-rotations', and images are 4 x 5"):
        check_augment("flips-rotations", (3, 4, 5))
