"""A local batch in parts: the one rule for training, planning and scripts."""


def micro_batches(samples: int, most: int | None = None) -> list[slice]:
    """Cut a local batch into as few parts as hold at most ``most`` samples, of nearly equal size.

    Larger parts come first. A batch without samples is one empty part, so that its replica takes
    part in the step.

    Args:
        samples: Size of the local batch, >= 0.
        most: Most samples of a part, >= 1; ``None`` is no limit.

    Returns:
        The parts in order, each a slice of the local batch.

    Raises:
        ValueError: ``samples`` is negative, or ``most`` below 1.

    >>> [len(range(10)[part]) for part in micro_batches(10, 4)]
    [4, 3, 3]
    """
    if samples < 0 or (most is not None and most < 1):
        raise ValueError(f"`samples` is {samples} and `most` {most}; allowed are >= 0 and >= 1.")
    if most is None or samples <= most:
        return [slice(0, samples)]
    count = -(-samples // most)
    size, larger = divmod(samples, count)
    parts = []
    start = 0
    for number in range(count):
        stop = start + size + (number < larger)
        parts.append(slice(start, stop))
        start = stop
    return parts
