"""What the ranks of a job tell each other: a value of each, and that one of them cannot go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch.distributed as dist

Item = TypeVar("Item")


def gather(item: Item) -> list[Item]:
    """Return every rank's item, by rank; a barrier too.

    Args:
        item: What this rank has to tell; it has to be possible to pickle it.

    Returns:
        The items of all ranks; this one alone where no process group exists.
    """
    if not dist.is_initialized():
        return [item]
    items = [item] * dist.get_world_size()
    if len(items) > 1:
        dist.all_gather_object(items, item)
    return items


def require_same(**settings: object) -> None:
    """Refuse a job whose ranks were given different things; every rank has to call it.

    Args:
        settings: Of this rank, by the arguments' names.

    Raises:
        ValueError: One differs; the same on every rank.
    """
    by_rank = gather(settings)
    for name in settings:
        values = [of_rank[name] for of_rank in by_rank]
        if values.count(values[0]) != len(values):
            raise ValueError(f"`{name}` is {values} by rank; give the same on every rank.")


class RefusedElsewhereError(RuntimeError):
    """Another rank cannot go on; the message has its words."""


@contextmanager
def refused_by_all(work: str) -> Iterator[None]:
    """Let what one rank refuses be refused by all, in place of leaving the others to wait for it.

    Every rank has to enter it. What lies within must not talk to other ranks.

    Args:
        work: What cannot be done then, a verb.

    Raises:
        RefusedElsewhereError: Another rank has raised an error.
    """
    try:
        yield
    except Exception as error:
        gather(f"{type(error).__name__}: {error}")
        raise
    for rank, words in enumerate(gather("")):
        if words:
            message = f"rank {rank} cannot {work} ({words}), so no rank can; see there."
            raise RefusedElsewhereError(message)
