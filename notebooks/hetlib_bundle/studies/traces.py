"""Traces of replicas whose speed changes: as they are set, as they were measured, and resampled.

A trace is an array ``(steps, replicas)`` of factors: compute time over what the replica's step
model says.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from hetlib.training.records import RunRecord

Change = tuple[int, Sequence[float]]  # a step, and what holds for each replica from there on

# The neighbour of replica 1 on a trace: from which step on, how often, and how much slower it makes
# a step.
DISTURBED = 110
OFTEN = 0.15
DISTURBANCE = (1.5, 3.0)


def schedule(steps: int, changes: Sequence[Change]) -> np.ndarray:
    """Return the trace that is 1 up to the first change and holds each until the next.

    Args:
        steps: Its length.
        changes: The step, and the factor of each replica from there on.
    """
    _, first = changes[0]
    trace = np.ones((steps, len(first)))
    for step, factors in changes:
        trace[step:] = factors
    return trace


def noise(record: RunRecord) -> np.ndarray:
    """Return a measured run's compute times over their median, ``(steps, active replicas)``.

    Medians are taken per replica and stretch of equal plan and slow-down, so that only noise is
    left. Dropped are the first step after each change, which allocates memory, and steps shorter
    than the global batch.
    """
    compute = np.asarray(record.steps["compute"])
    full = _full_steps(record, len(compute))
    changes = [*record.plans, *record.experiment["drift"]]
    starts = sorted({0, *[step for step, _ in changes]})
    parts = []
    for first, last in pairwise([*starts, len(compute)]):
        stretch = slice(first + 1, last)
        part = compute[stretch][full[stretch]]
        if len(part):
            part = part[:, part.min(axis=0) > 0]  # those that take part
        if len(part) > 2:
            parts.append(part / np.median(part, axis=0))
    return np.concatenate(parts)


def _full_steps(record: RunRecord, steps: int) -> np.ndarray:
    """Say which steps have a whole global batch, (steps,): the last of an epoch may be shorter."""
    samples = record.dataset["train"]
    batch = record.experiment["global_batch"]
    if samples % batch == 0:
        return np.ones(steps, dtype=bool)
    per_epoch = -(-samples // batch)
    return np.arange(steps) % per_epoch < per_epoch - 1


def resample(
    drawn: np.ndarray,
    steps: int,
    seed: int,
    block: int = 20,
) -> np.ndarray:
    """Draw a trace from blocks of a measured one (block bootstrap): bursts stay together.

    Args:
        drawn: The measured one, (its steps, replicas).
        steps: Length of the new one.
        seed: Draws where the blocks begin.
        block: Steps of a block, or all where there are fewer.
    """
    rng = np.random.default_rng(seed)
    block = min(block, len(drawn))
    blocks = -(-steps // block)
    begins = rng.integers(0, len(drawn) - block + 1, blocks)
    taken = begins[:, None] + np.arange(block)  # (blocks, block)
    return drawn[taken.ravel()[:steps]]


def disturbed(steps: int, seed: int) -> np.ndarray:
    """Return the trace of two replicas, the second with a noisy neighbour from `DISTURBED` on."""
    rng = np.random.default_rng(seed)
    late = np.arange(steps) >= DISTURBED
    spikes = late & (rng.random(steps) < OFTEN)
    slower = rng.uniform(*DISTURBANCE, steps)
    neighbour = np.where(spikes, slower, 1.0)
    return np.stack([np.ones(steps), neighbour], axis=1)
