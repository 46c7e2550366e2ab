"""The order in which trainers call a loader, without a trainer."""

from collections.abc import Iterator
from typing import Any

import pytest

import hetlib
from tests.integrations import problem

WORKERS = [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}]


def loader_of(**options: Any) -> hetlib.BalancedLoader:
    return problem.loader(rank=0, **options)


def numbers(batches: Iterator[Any]) -> list[list[int]]:
    return [batch["number"].tolist() for batch in batches]


def epoch_of(epoch: int) -> list[list[int]]:
    loader = loader_of()
    loader.set_epoch(epoch)
    return numbers(iter(loader))


@pytest.mark.parametrize("options", WORKERS)
def test_an_epoch_that_is_set_after_iter_is_the_one_that_is_read(options: dict[str, Any]) -> None:
    loader = loader_of(**options)
    batches = iter(loader)
    loader.set_epoch(3)
    assert numbers(batches) == epoch_of(3)
    assert loader.state_dict()["epoch"] == 4


@pytest.mark.parametrize("options", WORKERS)
def test_a_state_that_is_loaded_after_iter_is_gone_on_from(options: dict[str, Any]) -> None:
    state = {**loader_of().state_dict(), "epoch": 1, "step": 2}
    loader = loader_of(**options)
    batches = iter(loader)
    loader.load_state_dict(state)
    assert numbers(batches) == epoch_of(1)[2:]
    assert loader.counts == (5, 2)


def test_a_pass_that_has_begun_to_read_goes_on_when_an_epoch_is_set() -> None:
    loader = loader_of()
    batches = iter(loader)
    first = next(batches)["number"].tolist()
    loader.set_epoch(3)
    assert [first, *numbers(batches)] == epoch_of(0)
    assert numbers(iter(loader)) == epoch_of(3)


def test_of_two_passes_the_first_is_thrown_away() -> None:
    loader = loader_of(num_workers=2)
    iter(loader)
    batches = iter(loader)
    loader.set_epoch(0)
    read = [next(batches)["number"].tolist() for _ in range(len(loader))]
    assert read == epoch_of(0)
    assert numbers(iter(loader)) == epoch_of(1)
