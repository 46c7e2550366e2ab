"""What cannot be dealt: data sets, options and batches that a loader refuses."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch.utils.data import IterableDataset

from hetlib.balanced.batches import Collate
from hetlib.balanced.progress import HandedOut
from hetlib.balanced.shares import gives_queries
from hetlib.balanced.sizes import has_rows, samples_in
from hetlib.errors import wrong
from hetlib.inputs import flag, number, optional, whole

# Options of DataLoader that say which samples come together, as `plan` does.
_DEALT = ("batch_size", "batch_sampler")

# Options of DataLoader that it does not look at itself.
_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "num_workers": partial(whole, low=0, high=4096),
    "prefetch_factor": partial(optional, whole, low=1),
    "timeout": partial(number, low=0),
    "pin_memory": flag,
    "persistent_workers": flag,
}


def samples_from(dataset: Any, sampler: object) -> Any:
    """Return what is dealt: the queries of a sampler, or the number of samples of a data set.

    Args:
        dataset: The caller's.
        sampler: The caller's; ``None`` is none.

    Raises:
        ValueError: The sampler is none, or the data set has no length.
    """
    if sampler is None:
        return size_of(dataset)
    if not isinstance(sampler, Iterable) or not gives_queries(sampler):
        raise wrong("sampler", sampler, "None, or a sampler of numbers, boxes or keys")
    return sampler


@contextmanager
def in_words_of_loader(sampler: object) -> Iterator[None]:
    """Say what a `BalancedSampler` refuses by the names of a loader's arguments.

    Args:
        sampler: The loader's; ``None`` is none.
    """
    name = "the length of `dataset`" if sampler is None else "`sampler`"
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("`num_samples`", name)) from error


def size_of(dataset: Any) -> int:
    """Return the number of samples of a data set.

    Args:
        dataset: The caller's.

    Raises:
        ValueError: It has no length, so that it cannot be dealt.
    """
    is_one_value = getattr(dataset, "shape", None) == ()
    if isinstance(dataset, IterableDataset) or is_one_value or not hasattr(dataset, "__len__"):
        raise ValueError(
            f"`dataset` is a {type(dataset).__name__} without a length, which cannot be dealt; "
            "give one that is read by numbers, or a `sampler` of queries."
        )
    return len(dataset)


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a `DataLoader`; refuse those that are against the dealing.

    Args:
        options: The caller's.

    Raises:
        ValueError: One says which samples come together, or lets batches overtake each other, or
            is of a wrong type.
    """
    given = sorted(set(options) & set(_DEALT))
    if given:
        raise ValueError(f"`{given[0]}` is given, but `plan` says which samples come together.")
    if not options.get("in_order", True):
        raise ValueError(
            "`in_order` is False, but the counts of a batch belong to its step; leave it out."
        )
    checked = dict(options)
    for name, check in _CHECKS.items():
        if name in options:
            checked[name] = check(name, options[name])
    return checked


def require_all_rows(batch: HandedOut, own: int, merge: Any) -> None:
    """Refuse a batch from which the caller's ``collate_fn`` left samples out.

    Args:
        batch: As it was handed out.
        own: Samples that were dealt to this replica.
        merge: The `Collate` that made it.

    Raises:
        RuntimeError: It has fewer rows than samples.
    """
    if batch.sizes is None or has_rows(batch.sizes, own):
        return
    assert isinstance(merge, Collate)
    rows = samples_in(batch.sizes, merge.places)
    if rows is None or rows >= own:
        return
    raise RuntimeError(
        f"the batch has {rows} rows, but {own} samples were dealt to this replica: does "
        "`collate_fn` leave some out? Count what the loss is the mean over: "
        "balance(loss, loader, count=len(targets))."
    )
