"""Samplers of queries, such as torchgeo's, whose draws are the same on every replica.

A geographic sampler draws windows from a scene by torch's generator, which differs between
processes, and knows no epoch. Here each epoch's queries are drawn once under generators that are
seeded for it, and all of them are put back.
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DistributedSampler

from hetlib.errors import wrong

# Of an epoch, each an object in memory; a sampler without an end stops here.
MOST_QUERIES = 2**24


class Queries:
    """The queries of each epoch: a pure function of sampler, seed and epoch.

    Args:
        sampler: Gives the queries of an epoch, or lists of them, the same number each time.
        seed: The same on all replicas.

    Raises:
        ValueError: The sampler deals to replicas itself, or gives nothing, or ends after an epoch,
            or never.
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
        # the latest epoch's
        self._epoch = 0
        self._drawn = self._draw(0)
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
        number = np.random.SeedSequence((self._seed, epoch)).generate_state(1)[0]
        queries: list[Any] = []
        with _seeded(self._sampler, int(number)):
            for drawn in self._sampler:
                # samplers of batches give lists
                if isinstance(drawn, list):
                    queries.extend(drawn)
                else:
                    queries.append(drawn)
                if len(queries) > MOST_QUERIES:
                    raise ValueError(
                        f"`num_samples` is a {type(self._sampler).__name__} that gives more than "
                        f"{MOST_QUERIES:,} queries an epoch; give one that ends."
                    )
        return queries


def _refuse_fractions(queries: list[Any]) -> None:
    """Refuse queries that no data set answers: numbers that are not whole."""
    for query in queries:
        if isinstance(query, float | complex):
            raise wrong("num_samples", query, "a sampler of whole numbers, boxes or keys")


@contextmanager
def _seeded(sampler: Any, number: int) -> Iterator[None]:
    """Seed what a sampler may draw from, and put it back."""
    python = random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002 -- what old samplers draw from
    generators = [torch.default_generator, *_generators_of(sampler)]
    states = [generator.get_state() for generator in generators]
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    for generator in generators:
        generator.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators_of(sampler: Any) -> list[torch.Generator]:
    """Return the generators that a sampler, and those that it draws from, keep."""
    found = []
    seen = sampler
    while seen is not None:
        kept = vars(seen) if hasattr(seen, "__dict__") else {}
        found += [value for value in kept.values() if isinstance(value, torch.Generator)]
        seen = kept.get("sampler")
    return found
