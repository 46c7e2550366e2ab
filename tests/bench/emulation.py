"""Does a replica with slow-down f take f times its own compute time, forward and backward?

A full-speed copy and a slowed copy of one network take turns, so each pair sees the same machine.
"""

import copy
import time

import torch
import torch.nn.functional as F

from hetlib.models.registry import build_model
from hetlib.replicas.emulation import SlowDown
from tests.bench import Row
from tests.bench._measure import row

# Model, bands, pixels, local batch.
CASES = (("smallcnn", 13, 16, 8), ("smallcnn", 13, 16, 64), ("resnet18", 3, 32, 32))
WARM_UP = 12


def ratios(
    name: str, bands: int, size: int, batch: int, factor: float, pairs: int
) -> tuple[list[float], list[float]]:
    images = torch.randn(batch, bands, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 8, (batch,))
    fast = build_model(name, bands=bands, classes=8, size=size).to(
        memory_format=torch.channels_last
    )
    slow = copy.deepcopy(fast)
    clocks = [(fast, SlowDown(1.0, fast)), (slow, SlowDown(factor, slow))]
    forward, backward = [], []
    for pair in range(pairs + WARM_UP):
        times = []
        for model, clock in clocks:
            for _ in range(3):  # each starts with caches and a clock that its own steps have warmed
                F.cross_entropy(model(images), labels).backward()
            begin = time.perf_counter()
            clock.start("forward", batch)
            loss = F.cross_entropy(model(images), labels)
            clock.settle()
            middle = time.perf_counter()
            clock.start("backward", batch)
            loss.backward()
            clock.settle()
            times.append((middle - begin, time.perf_counter() - middle))
        if pair >= WARM_UP:
            forward.append(times[1][0] / times[0][0])
            backward.append(times[1][1] / times[0][1])
    return forward, backward


def run() -> list[Row]:
    """Return the factor reached over the factor asked for, by model, slow-down and pass."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = []
        for name, *shape in CASES:
            for factor in (2, 4, 8):
                passes = ratios(name, *shape, factor, pairs=60 if name == "smallcnn" else 30)
                for kind, found in zip(("forward", "backward"), passes, strict=True):
                    title = f"{name}, {shape[2]} samples, slow-down {factor}, {kind}: factor reached / asked"
                    rows.append(row(title, [ratio / factor for ratio in found], within=0.05))
        return rows
    finally:
        torch.set_num_threads(threads)
