"""A local batch in parts: the one rule for training, planning and scripts."""

from hetlib.containers import MOST_ITEMS
from hetlib.inputs import MOST_SAMPLES, optional, whole


def micro_batches(samples: int, most: int | None = None, *, parts: int = 1) -> list[slice]:
    """Cut a local batch into as few parts as hold at most ``most`` samples, of nearly equal size.

    Larger parts come first. A batch without samples is one empty part, so that its replica takes
    part in the step.

    Args:
        samples: Size of the local batch, >= 0.
        most: Most samples of a part, >= 1; ``None`` is no limit.
        parts: Fewest parts, >= 1; the last are empty where there are not as many samples. BatchNorm
            over all replicas needs as many on each: the most that one of them takes.

    Returns:
        The parts in order, each a slice of the local batch.

    Raises:
        ValueError: ``samples`` is no whole number >= 0, or ``most`` or ``parts`` none >= 1.

    >>> [len(range(10)[part]) for part in micro_batches(10, 4)]
    [4, 3, 3]
    >>> [len(range(2)[part]) for part in micro_batches(2, 4, parts=3)]
    [1, 1, 0]
    """
    samples = whole("samples", samples, low=0, high=MOST_SAMPLES)
    most = optional(whole, "most", most, low=1)
    count = whole("parts", parts, low=1, high=MOST_ITEMS)
    if most is not None:
        count = max(count, -(-samples // most))
    if count > MOST_ITEMS:
        raise ValueError(
            f"`samples` is {samples} and `most` {most}, which makes {count} parts; allowed are "
            f"{MOST_ITEMS} parts at most."
        )
    size, larger = divmod(samples, count)
    cut = []
    start = 0
    for number in range(count):
        stop = start + size + (number < larger)
        cut.append(slice(start, stop))
        start = stop
    return cut
