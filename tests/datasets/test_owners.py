"""Parts of the samples that replicas own: by chance, by class, by place."""

from pathlib import Path

import numpy as np
import pytest

from hetlib.balanced.sampler import BalancedSampler
from hetlib.datasets import LandCoverScene, SceneFolder
from hetlib.datasets.owners import order_of_owners

from .scenes import Options

LABELS = np.repeat([0, 1, 2, 3], [10, 30, 20, 40])


def owned_by_first(order: np.ndarray | None, shares: tuple[int, ...]) -> np.ndarray:
    """Return what rank 0 draws in an epoch."""
    sampler = BalancedSampler(len(LABELS), shares, rank=0, seed=5, shards=order)
    return np.sort(np.concatenate(list(sampler)))


def test_class_by_class() -> None:
    order = order_of_owners("class", LABELS, seed=1)
    assert order is not None
    assert sorted(order) == list(range(100))
    classes = LABELS[order]
    assert np.count_nonzero(np.diff(classes)) == 3  # each class in one piece
    pieces = [tuple(dict.fromkeys(LABELS[order_of_owners("class", LABELS, s)])) for s in range(20)]
    assert len(set(pieces)) > 10  # in an order that the seed draws


def test_by_chance() -> None:
    first = order_of_owners("random", LABELS, seed=1)
    assert first is not None
    assert sorted(first) == list(range(100))
    assert not np.array_equal(first, order_of_owners("random", LABELS, seed=2))
    assert np.array_equal(first, order_of_owners("random", LABELS, seed=1))
    assert np.bincount(LABELS[owned_by_first(first, (15, 5))], minlength=4).min() > 2


def test_a_replica_draws_its_own_part_in_each_epoch() -> None:
    order = order_of_owners("class", LABELS, seed=1)
    assert order is not None
    assert np.array_equal(owned_by_first(order, (15, 5)), np.sort(order[:75]))
    assert order_of_owners(False, LABELS, seed=1) is None


def test_parts_of_a_data_set(tree: Path, scene: Options, cache: Path) -> None:
    folders = SceneFolder(tree, cache=cache, shards="class", seed=3)
    assert folders.shards is not None
    assert np.count_nonzero(np.diff(folders.labels[folders.shards])) == len(folders.classes) - 1
    assert SceneFolder(tree, cache=cache).shards is None
    windows = LandCoverScene(**scene, shards="class")
    assert windows.shards is not None
    assert np.count_nonzero(np.diff(windows.labels[windows.shards])) == len(windows.classes) - 1
    strips = LandCoverScene(**scene, shards=True)
    assert strips.shards is not None
    assert (np.diff(strips.centres[strips.shards, 1]) >= 0).all()


def test_other_parts_are_refused(tree: Path, scene: Options) -> None:
    with pytest.raises(ValueError, match=r"`shards` is True; allowed are \[False, 'random'"):
        SceneFolder(tree, shards=True)  # images have no places
    with pytest.raises(ValueError, match=r"`shards` is 'strips'; allowed are .*True\]"):
        LandCoverScene(**scene, shards="strips")
