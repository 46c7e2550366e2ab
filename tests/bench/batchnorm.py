"""What BatchNorm over the global batch costs in time: two replicas, against local statistics.

Two DDP copies of one network take turns, so each pair sees the same machine. No goal: each layer
adds two small all-reduces that nothing hides.
"""

import copy
import time
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.balanced.shares import slashed
from hetlib.models.registry import build_model
from tests.bench import Row
from tests.bench._measure import row

WARM_UP = 2
BANDS = 13
CLASSES = 8


class Case(NamedTuple):
    """A network and its batch.

    Attributes:
        model: Name of the CNN.
        size: Of the images, in pixels.
        shares: Local batches.
        pairs: Of steps.
    """

    model: str
    size: int
    shares: tuple[int, int]
    pairs: int


CASES = (
    Case("smallcnn", size=16, shares=(90, 38), pairs=41),
    Case("resnet18", size=32, shares=(20, 12), pairs=11),
)


def build(case: Case) -> nn.Module:
    """Return the network with local statistics."""
    return build_model(case.model, bands=BANDS, classes=CLASSES, size=case.size, norm="batch")


class Training:
    """A network in DDP that trains on the same batch again and again."""

    def __init__(self, network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._model = DistributedDataParallel(network, gradient_as_bucket_view=True)
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        self._images = images
        self._labels = labels

    def step(self) -> float:
        """Return the seconds of a step."""
        dist.barrier()
        begin = time.perf_counter()
        F.cross_entropy(self._model(self._images), self._labels).backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return time.perf_counter() - begin


def turns(rank: int, case: Case) -> list[list[float]]:
    """Return seconds of a step with balanced, local and again local statistics, one list a pair."""
    images = torch.randn(case.shares[rank], BANDS, case.size, case.size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (len(images),))
    plain = build(case).to(memory_format=torch.channels_last)
    networks = [hetlib.convert_batchnorm(copy.deepcopy(plain)), plain, copy.deepcopy(plain)]
    # DDP objects that outlive their process group can abort the process: these end here
    trainings = [Training(network, images, labels) for network in networks]
    seconds = []
    for _ in range(case.pairs + WARM_UP):
        seconds.append([training.step() for training in trainings])
    return seconds[WARM_UP:]


def slowest(of_replicas: list[list[list[float]]]) -> np.ndarray:
    """Return the seconds of the slower replica, ``(pairs, 3)``."""
    return np.max(of_replicas, axis=0)


def run() -> list[Row]:
    """Return the step time with balanced over that with local statistics.

    With it local over local, as the noise.
    """
    rows = []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for case in CASES:
            balanced, local, again = slowest(replicas.run(turns, case)).T
            layers = sum(isinstance(module, nn.BatchNorm2d) for module in build(case).modules())
            held = slashed(case.shares)
            title = f"{case.model}, {case.size} px, {layers} layers, shares {held}"
            rows.append(row(f"{title}: balanced / local", list(balanced / local)))
            rows.append(row(f"{title}: local / local", list(again / local)))
    return rows
