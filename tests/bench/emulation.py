"""Does a replica with slow-down f take f times its own compute time, forward and backward?

A full-speed copy and a slowed copy of one network take turns, so each pair sees the same machine.
"""

import copy
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from hetlib.models.registry import build_model
from hetlib.replicas.emulation import SlowDown
from tests.bench import Row
from tests.bench._measure import row

CLASSES = 8
FACTORS = (2, 4, 8)
WARM_UP = 12


class Case(NamedTuple):
    """A network and its batch.

    Attributes:
        model: Name of the CNN.
        bands: Of the images.
        size: Of the images, in pixels.
        batch: Local batch.
        pairs: Of steps.
    """

    model: str
    bands: int
    size: int
    batch: int
    pairs: int


CASES = (
    Case("smallcnn", bands=13, size=16, batch=8, pairs=60),
    Case("smallcnn", bands=13, size=16, batch=64, pairs=60),
    Case("resnet18", bands=3, size=32, batch=32, pairs=30),
)


class Passes(NamedTuple):
    """Seconds of a step's two passes."""

    forward: float
    backward: float


class Training:
    """A network on one batch, emulated as so many times slower."""

    def __init__(
        self, network: nn.Module, factor: float, images: torch.Tensor, labels: torch.Tensor
    ) -> None:
        self._network = network
        self._clock = SlowDown(factor, network)
        self._images = images
        self._labels = labels

    def step(self) -> Passes:
        """Return the seconds of a step."""
        for _ in range(3):  # each starts with caches and a clock that its own steps have warmed
            self._loss().backward()
        begin = time.perf_counter()
        self._clock.start("forward", len(self._images))
        loss = self._loss()
        self._clock.settle()
        middle = time.perf_counter()
        self._clock.start("backward", len(self._images))
        loss.backward()
        self._clock.settle()
        return Passes(forward=middle - begin, backward=time.perf_counter() - middle)

    def _loss(self) -> torch.Tensor:
        return F.cross_entropy(self._network(self._images), self._labels)


def ratios(case: Case, factor: float) -> dict[str, list[float]]:
    """Return the slowed passes over the others, by name."""
    images = torch.randn(case.batch, case.bands, case.size, case.size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (case.batch,))
    network = build_model(case.model, bands=case.bands, classes=CLASSES, size=case.size)
    network = network.to(memory_format=torch.channels_last)
    copied = copy.deepcopy(network)
    fast = Training(network, 1.0, images, labels)
    slow = Training(copied, factor, images, labels)

    found: dict[str, list[float]] = {"forward": [], "backward": []}
    for pair in range(case.pairs + WARM_UP):
        own = fast.step()
        slowed = slow.step()
        if pair >= WARM_UP:
            found["forward"].append(slowed.forward / own.forward)
            found["backward"].append(slowed.backward / own.backward)
    return found


def run() -> list[Row]:
    """Return the factor reached over the factor asked for, by model, slow-down and pass."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = []
        for case in CASES:
            for factor in FACTORS:
                rows += reached(case, factor)
        return rows
    finally:
        torch.set_num_threads(threads)


def reached(case: Case, factor: int) -> list[Row]:
    """Return the factor reached over the factor asked for, by pass."""
    rows = []
    for kind, found in ratios(case, factor).items():
        title = f"{case.model}, {case.batch} samples, slow-down {factor}, {kind}"
        over_asked = [ratio / factor for ratio in found]
        rows.append(row(f"{title}: factor reached / asked", over_asked, within=0.05))
    return rows
