"""Samplers of queries, such as torchgeo's, whose draws are the same on every replica.

A geographic sampler draws windows from a scene by torch's generator, which differs between
processes, and knows no epoch. Here each epoch's queries are drawn once under generators that are
seeded for it, and all of them are put back.
"""

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DistributedSampler

from hetlib.balanced.draws import generators_of, reseed, states_of
from hetlib.errors import wrong
from hetlib.plain import plain
from hetlib.randomness import random_states_kept

# Of an epoch, each an object in memory; a sampler without an end stops here.
MOST_QUERIES = 2**24


class Queries:
    """The queries of each epoch: a pure function of sampler, seed and epoch.

    A sampler that asks for the epoch is told it.

    Args:
        sampler: Gives the queries of an epoch, or lists of them, the same number each time.
        seed: The same on all replicas.

    Raises:
        ValueError: The sampler deals to replicas itself, or gives nothing, or ends after an epoch,
            or never, or draws other numbers on each replica.
    """

    def __init__(self, sampler: Iterable[Any], seed: int) -> None:
        if isinstance(sampler, DistributedSampler):
            raise ValueError(
                "`num_samples` is a DistributedSampler, which deals to the replicas itself; give "
                "the sampler that draws for all of them."
            )
        if isinstance(sampler, Iterator):
            raise ValueError(
                f"`num_samples` is a {type(sampler).__name__}, which can be gone through once; "
                "give what each epoch is drawn from anew: a sampler, or a list."
            )
        self._sampler = sampler
        self._seed = seed
        # of a copy, as some count how often they were drawn from
        again = self._draw_from(copy.copy(sampler), 0)
        # the latest epoch's
        self._epoch = 0
        self._drawn = self._draw(0)
        _require_same(self._drawn, again, sampler)
        if not self._drawn:
            raise ValueError(
                f"`num_samples` is a {type(sampler).__name__} that gives no query; it must be >= 1."
            )
        _refuse_fractions(self._drawn)
        self._number = len(self._drawn)

    def __len__(self) -> int:
        return self._number

    @property
    def first(self) -> Any:
        """The first query of the latest epoch."""
        return self._drawn[0]

    def of(self, epoch: int) -> list[Any]:
        """Return the queries of an epoch, in their order.

        Args:
            epoch: Its number, from 0.

        Raises:
            RuntimeError: The sampler gave another number of them than in the first epoch.
        """
        if epoch != self._epoch:
            self._drawn = self._draw(epoch)
            self._epoch = epoch
        if len(self._drawn) != self._number:
            raise RuntimeError(
                f"the sampler gave {len(self._drawn)} queries in epoch {epoch}, and {self._number} "
                "in the first; all epochs need as many."
            )
        return self._drawn

    def _draw(self, epoch: int) -> list[Any]:
        return self._draw_from(self._sampler, epoch)

    def _draw_from(self, sampler: Iterable[Any], epoch: int) -> list[Any]:
        number = np.random.SeedSequence((self._seed, epoch)).generate_state(1)[0]
        queries: list[Any] = []
        _tell_epoch(sampler, epoch)
        with _seeded(sampler, int(number)):
            for drawn in sampler:
                # samplers of batches give lists
                if isinstance(drawn, list):
                    queries.extend(drawn)
                else:
                    queries.append(drawn)
                if len(queries) > MOST_QUERIES:
                    raise ValueError(
                        f"`num_samples` is a {type(sampler).__name__} that gives more than "
                        f"{MOST_QUERIES:,} queries an epoch; give one that ends."
                    )
        return queries


def _require_same(drawn: list[Any], again: list[Any], sampler: object) -> None:
    """Refuse a sampler whose replicas would draw other samples each.

    Whole numbers are compared alone: of boxes and the like nobody knows when they are equal.
    """
    are_numbers = all(isinstance(query, int | np.integer) for query in drawn)
    if are_numbers and drawn != again:
        raise ValueError(
            f"`num_samples` is a {type(sampler).__name__} that draws other numbers from the same "
            "random states, so that replicas would differ; let it draw from a generator that it "
            "keeps, or from one seeded by its `set_epoch`."
        )


def _refuse_fractions(queries: list[Any]) -> None:
    """Refuse queries that no data set answers: numbers that are not whole."""
    for query in queries:
        if isinstance(plain(query), float | complex):
            raise wrong("num_samples", query, "a sampler of whole numbers, boxes or keys")


@contextmanager
def _seeded(sampler: Any, number: int) -> Iterator[None]:
    """Seed what a sampler may draw from, and put it back."""
    put_back = states_of(sampler)
    with random_states_kept():
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002 -- what old samplers draw from
        torch.default_generator.manual_seed(number)
        for generator in generators_of(sampler):
            reseed(generator, number)
        try:
            yield
        finally:
            for restore in put_back:
                restore()


def _tell_epoch(sampler: Any, epoch: int) -> None:
    """Tell a sampler, and those that it draws from, the epoch, if they ask for it."""
    seen = sampler
    while seen is not None:
        if callable(getattr(seen, "set_epoch", None)):
            seen.set_epoch(epoch)
        kept = vars(seen) if hasattr(seen, "__dict__") else {}
        seen = kept.get("sampler")
