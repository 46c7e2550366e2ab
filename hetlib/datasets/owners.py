"""Which samples each replica always draws from, where it does not draw from all of them.

The result is an order of the samples: the sampler cuts it by the shares, and gives the first part
to rank 0.
"""

import numpy as np

from hetlib.datasets.types import Shards
from hetlib.inputs import one_of

# Parts that any data set can be cut into.
RANDOM = "random"
CLASS = "class"
OF_ANY_DATA = (False, RANDOM, CLASS)

# Those of a scene, whose windows have places: True is strips from left to right.
OF_A_SCENE = (*OF_ANY_DATA, True)

# Of the seed: what decides the owners is drawn apart from what decides the split.
STREAM = 0x0E5


def check_shards(shards: Shards, *, places: bool) -> None:
    """Refuse parts that a data set cannot be cut into.

    Args:
        shards: What was asked for.
        places: Whether the samples have places in a scene.

    Raises:
        ValueError: There is no such way to cut, or it needs places.
    """
    allowed: tuple[Shards, ...] = OF_ANY_DATA
    if places:
        allowed = OF_A_SCENE
    one_of("shards", shards, allowed)


def order_of_owners(
    shards: Shards,
    labels: np.ndarray,
    seed: int,
    columns: np.ndarray | None = None,
) -> np.ndarray | None:
    """Return the order in which replicas own samples.

    Args:
        shards: ``"random"``: any order; ``"class"``: class by class, the classes in a drawn order;
            True: from left to right; False: no replica owns any.
        labels: Class of each sample, (n,).
        seed: Draws the order.
        columns: Place of each sample in its scene, from left to right, (n,).

    Returns:
        Positions of the samples, (n,); None where every replica draws from all.
    """
    if shards is False:
        return None
    if shards is True and columns is not None:
        return np.argsort(columns, kind="stable")
    rng = np.random.default_rng([STREAM, seed])
    mixed = rng.permutation(len(labels))
    if shards == RANDOM:
        return mixed
    rank_of_class = rng.permutation(labels.max(initial=0) + 1)
    ranks = rank_of_class[labels[mixed]]
    return mixed[np.argsort(ranks, kind="stable")]
