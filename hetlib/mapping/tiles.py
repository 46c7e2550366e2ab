"""Which part of a scene a tile of its map needs, and which of the scene's bands."""

from collections.abc import Iterator

import numpy as np

from hetlib.datasets.rasters import Block
from hetlib.datasets.types import Names


def columns_of(
    names: tuple[str, ...], needed: tuple[str, ...], wanted: Names, source: str
) -> list[int]:
    """Return which bands of a scene a network takes.

    Args:
        names: Of the scene's bands.
        needed: Of the network's bands.
        wanted: Names of the scene's bands in the network's order, where the caller gives them.
        source: Path of the scene, for messages.

    Returns:
        Positions in ``names``.

    Raises:
        ValueError: The bands do not fit.
    """
    if wanted is not None:
        fitting = not isinstance(wanted, str) and len(wanted) == len(needed)
        if not fitting or not set(wanted) <= set(names):
            raise ValueError(
                f"`bands` is {wanted!r}; it must be {len(needed)} names out of {list(names)}, in "
                f"the order of the network's {list(needed)}."
            )
        return [names.index(name) for name in wanted]
    if set(needed) <= set(names):
        return [names.index(name) for name in needed]
    numbered = "".join(names).isdigit() or "".join(needed).isdigit()
    if len(names) == len(needed) and numbered:
        return list(range(len(names)))
    raise ValueError(
        f"{source} has the bands {list(names)}, and the network takes {list(needed)}; "
        "say which are which by `bands=`."
    )


def tiles(shape: tuple[int, int], side: int) -> Iterator[Block]:
    """Yield the parts of a scene, from top left to bottom right.

    Args:
        shape: Height and width of the scene.
        side: Of a tile; the last may be smaller.
    """
    height, width = shape
    for top in range(0, height, side):
        for left in range(0, width, side):
            rows = slice(top, min(top + side, height))
            columns = slice(left, min(left + side, width))
            yield Block(rows, columns)


def around(part: slice, window: int, size: int) -> np.ndarray:
    """Return the pixels along one side that windows of a part need, reflected at the rim.

    Args:
        part: Of the side: where the windows' centres are.
        window: Length of a window.
        size: Length of the side.

    Returns:
        Positions within the side.

    >>> around(slice(0, 2), 4, 5)
    array([2, 1, 0, 1, 2])
    """
    places = np.arange(part.start - window // 2, part.stop + (window - 1) // 2)
    if size == 1:
        return np.zeros_like(places)
    period = 2 * (size - 1)
    folded = np.abs(places) % period
    return np.minimum(folded, period - folded)


def middles(part: slice, stride: int) -> np.ndarray:
    """Return the predicted pixels along one side of a part, counted from its start.

    Args:
        part: Of the side.
        stride: Pixels between them; the last square may be smaller, and then has another middle.
    """
    length = part.stop - part.start
    starts = np.arange(0, length, stride)
    ends = np.minimum(starts + stride, length)
    return np.minimum(starts + stride // 2, ends - 1)
