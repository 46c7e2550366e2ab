"""A small experiment, and how far two of its runs are apart."""

import dataclasses
from typing import Any

import numpy as np

import hetlib

PLATFORM = hetlib.Platform.emulated([1, 1, 1])

# 8 classes of 20 windows: 160 samples, so steps of 64, 64 and 32 an epoch; 20 steps are 7 epochs.
SETTINGS = hetlib.Experiment(
    global_batch=64,
    shares=(45, 13, 6),
    epochs=7,
    max_steps=20,
    evaluate_every=3,
    dtype="float64",
    schedule="constant",
    lr=0.05,
    dataset_options={"per_class": 20},
)


def changed(**changes: Any) -> hetlib.Experiment:
    """Return the small experiment with other settings."""
    return dataclasses.replace(SETTINGS, **changes)


def limited(*most: int) -> hetlib.Platform:
    """Return a platform whose replicas take at most so many samples a pass."""
    return hetlib.Platform.from_list([{"max_batch": n} for n in most])


def trained(experiment: hetlib.Experiment, replicas: Any) -> hetlib.RunRecord:
    """Train and keep the weights."""
    return hetlib.train(experiment, replicas, keep_weights=True)


def virtual(experiment: hetlib.Experiment) -> hetlib.RunRecord:
    """Train with virtual replicas and keep the weights."""
    return trained(experiment, hetlib.VirtualReplicas(PLATFORM))


def difference(a: hetlib.RunRecord, b: hetlib.RunRecord) -> float:
    """Return the largest relative difference of any weight or buffer."""
    assert a.weights is not None
    assert b.weights is not None
    assert a.weights.keys() == b.weights.keys()
    apart = []
    for name, known in b.weights.items():
        size = max(float(np.linalg.norm(known)), 1e-30)
        apart.append(float(np.linalg.norm(a.weights[name] - known)) / size)
    return max(apart)
