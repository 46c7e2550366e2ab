"""Step models that the tests of several files draw."""

import numpy as np

from hetlib.planning.speed import SpeedModel


def random_model(rng: np.random.Generator) -> SpeedModel:
    """A monotone model with an offset, bends and, at times, a plateau."""
    points = rng.integers(2, 6)
    batches = rng.choice(np.arange(1, 30), size=points, replace=False)
    batches = np.sort(batches)
    rises = rng.random(points)
    flat = rng.random(points) >= 0.8
    rises[flat] = 0.0
    offset = rng.random() * 3 + 0.01
    seconds = offset + np.cumsum(rises)
    return SpeedModel(
        batches=tuple(batches.tolist()),
        seconds=tuple(seconds.tolist()),
    )
