"""What cannot be dealt: data sets, options and batches that a loader refuses."""

from collections.abc import Mapping
from typing import Any

from torch.utils.data import IterableDataset

from hetlib.balanced.batches import Collate
from hetlib.balanced.progress import HandedOut

# Options of DataLoader that say which samples come together, as `plan` does.
_DEALT = ("batch_size", "batch_sampler")


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


def require_options(options: Mapping[str, Any]) -> None:
    """Refuse options of a `DataLoader` that are against the dealing.

    Args:
        options: The caller's.

    Raises:
        ValueError: One says which samples come together, or lets batches overtake each other.
    """
    given = sorted(set(options) & set(_DEALT))
    if given:
        raise ValueError(f"`{given[0]}` is given, but `plan` says which samples come together.")
    if not options.get("in_order", True):
        raise ValueError(
            "`in_order` is False, but the counts of a batch belong to its step; leave it out."
        )


def require_all_rows(batch: HandedOut, own: int, merge: Any) -> None:
    """Refuse a batch from which the caller's ``collate_fn`` left samples out.

    Args:
        batch: As it was handed out.
        own: Samples that were dealt to this replica.
        merge: The `Collate` that made it.

    Raises:
        RuntimeError: It has fewer rows than samples.
    """
    if batch.rows is None:
        return
    rows, sizes = batch.rows
    if rows >= own or own in sizes:
        return
    assert isinstance(merge, Collate)
    if not merge.rows_grow(rows, own):
        return
    raise RuntimeError(
        f"the batch has {rows} rows, but {own} samples were dealt to this replica: does "
        "`collate_fn` leave some out? Count what the loss is the mean over: "
        "balance(loss, loader, count=len(targets))."
    )
