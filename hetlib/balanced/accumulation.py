"""A local batch in parts: the one rule for training, planning and scripts."""

from hetlib.errors import at_least


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
        ValueError: ``samples`` is negative, or ``most`` or ``parts`` below 1.

    >>> [len(range(10)[part]) for part in micro_batches(10, 4)]
    [4, 3, 3]
    >>> [len(range(2)[part]) for part in micro_batches(2, 4, parts=3)]
    [1, 1, 0]
    """
    if samples < 0 or (most is not None and most < 1):
        raise ValueError(f"`samples` is {samples} and `most` {most}; allowed are >= 0 and >= 1.")
    at_least("parts", parts, 1)
    count = parts
    if most is not None:
        count = max(parts, -(-samples // most))
    size, larger = divmod(samples, count)
    cut = []
    start = 0
    for number in range(count):
        stop = start + size + (number < larger)
        cut.append(slice(start, stop))
        start = stop
    return cut
