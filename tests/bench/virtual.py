"""One pass over 64 virtual replicas, each with BatchNorm of its own, against the plain step.

Two copies of one network take turns on the same batch, so each pair sees the same machine. A turn
has several steps, as a training has: after a single one of another network each would find neither
its code nor its buffers in the caches.
"""

import copy
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from hetlib.balanced.segmented import segment_batchnorm
from hetlib.models.registry import build_model
from hetlib.replicas.worker import keep_freed_memory
from tests.bench import Row
from tests.bench._measure import row

BANDS = 13
CLASSES = 8
STEPS = 5  # of a turn
SEGMENTS = [*[1] * 40, *[2] * 12, *[4] * 8, *[8] * 4]  # 64 replicas, 128 samples


class Case(NamedTuple):
    """A network and its batch.

    Attributes:
        model: Name of the CNN.
        size: Of the images, in pixels.
        pairs: Of turns.
        times_larger: By how much the shares are larger than `SEGMENTS`.
    """

    model: str
    size: int
    pairs: int
    times_larger: int


CASES = (
    Case("smallcnn", size=16, pairs=41, times_larger=1),
    Case("smallcnn", size=16, pairs=41, times_larger=2),
    Case("smallcnn", size=16, pairs=21, times_larger=4),
    Case("resnet18", size=16, pairs=7, times_larger=1),
)


class Training:
    """A network that trains on the same batch again and again."""

    def __init__(self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._network = network
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        self._images = images
        self._labels = labels

    def turn(self) -> float:
        """Return the seconds of some steps."""
        begin = time.perf_counter()
        for _ in range(STEPS):
            F.cross_entropy(self._network(self._images), self._labels).backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        return time.perf_counter() - begin


def compare(case: Case) -> tuple[Row, Row]:
    """Return the step with segments over the plain one, and the plain one over itself."""
    shares = [case.times_larger * n for n in SEGMENTS]
    images = torch.randn(sum(shares), BANDS, case.size, case.size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (len(images),))
    plain = build_model(case.model, bands=BANDS, classes=CLASSES, size=case.size, norm="batch")
    plain = plain.to(memory_format=torch.channels_last)
    segmented = segment_batchnorm(copy.deepcopy(plain), shares)
    trainings = [Training(network, images, labels) for network in (segmented, plain, plain)]

    ratios, noise = [], []
    # each begins as often: the caches are as the last one left them
    for turn in range(case.pairs + 1):
        order = [(turn + place) % 3 for place in range(3)]
        taken = {number: trainings[number].turn() for number in order}
        if turn > 0:  # the first warms up
            ratios.append(taken[0] / taken[1])
            noise.append(taken[1] / taken[2])
    title = f"{case.model}, {case.size} px, {len(shares)} replicas of {len(images)} samples"
    return (
        row(f"{title}: virtual / plain", ratios, at_most=1.05),
        row(f"{title}: plain / plain", noise),
    )


def run() -> list[Row]:
    """Return the step time with 64 segments over the plain one-process step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # page faults come and go with what else has run, and take up to 20 % of a step
    keep_freed_memory()
    try:
        rows: list[Row] = []
        for case in CASES:
            rows += compare(case)
        return rows
    finally:
        torch.set_num_threads(threads)
