"""Several primary claims together: Holm's correction, so that one in all may err in 2.5 %.

Of m claims the one with the smallest p is compared with level / m, the next with level / (m - 1),
and so on; the first that fails ends it. Holm, "A Simple Sequentially Rejective Multiple Test
Procedure", Scandinavian Journal of Statistics 6 (1979).
"""

from collections.abc import Mapping


def holm(found: Mapping[str, float], size: int) -> dict[str, float]:
    """Return the p-values, corrected so that each may be compared with the level itself.

    Args:
        found: p-value of each claim of the family that could be judged, by name.
        size: How many claims the family has. It is fixed beforehand: a claim that cannot be judged
            counts as one with a p of 1, or the others would gain by its failure.

    Returns:
        By name, in the order given; never below what was given, never above 1.
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    left = size
    for name in sorted(found, key=lambda name: found[name]):
        largest = max(largest, min(1.0, left * found[name]))
        corrected[name] = largest
        left -= 1
    return {name: corrected[name] for name in found}
