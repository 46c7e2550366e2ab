"""What a training leaves behind: noted as it goes on, turned into fields of a record at its end."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hetlib.training.trainee import Trainee


@dataclass
class History:
    """What a training leaves behind, as it goes on.

    Attributes:
        stamps: Of each step, when it began, had computed, had exchanged and had updated.
        evaluations: One mapping an evaluation: epoch, step, loss, oa, aa, kappa.
        confusion: Of the last evaluation, ``(true, predicted)`` counts.
    """

    stamps: list[list[float]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))


def result_of(trainee: Trainee, history: History, replicas: int) -> dict[str, Any]:
    """Return what a record keeps of the training.

    Args:
        trainee: What was trained.
        history: What it left behind.
        replicas: Of the platform, those that stayed out among them.

    Returns:
        Fields of `RunRecord`, and time stamps ``(steps, 4)``.
    """
    data = trainee.data
    about = {
        "checksum": data.checksum,
        "train": len(data),
        trainee.experiment.evaluate_split: len(trainee.held_out),
        "classes": list(data.classes),
        "bands": list(data.bands),
        "size": data.image_shape[1],
    }
    plans = []
    for step, shares in trainee.sampler.plans:
        plans.append([step, trainee.place.on_platform(shares, replicas)])
    return {
        "epochs": history.evaluations,
        "confusion": history.confusion.tolist(),
        "plans": plans,
        "dataset": about,
        "stamps": np.asarray(history.stamps),
    }


def weights_of(trainee: Trainee) -> dict[str, np.ndarray]:
    """Return weights and buffers of the trained network, by name."""
    state = trainee.network.state_dict()
    return {name: value.cpu().numpy() for name, value in state.items()}
