"""One pass over 64 uneven virtual replicas, each with BatchNorm statistics of its own, against the plain step.

Two copies of one network take turns on the same batch, so each pair sees the same machine. A turn
has several steps, as a training has: after a single one of another network each would find neither
its code nor its buffers in the caches.
"""

import copy
import time

import torch
import torch.nn.functional as F
from torch import nn

from hetlib.balanced.batchnorm import segment_batchnorm
from hetlib.models.registry import build_model
from hetlib.replicas.worker import keep_freed_memory
from tests.bench import Row
from tests.bench._measure import row

# Model, bands, pixels, pairs, and by how much the shares are larger.
CASES = (
    ("smallcnn", 13, 16, 41, 1),
    ("smallcnn", 13, 16, 41, 2),
    ("smallcnn", 13, 16, 21, 4),
    ("resnet18", 13, 16, 7, 1),
)
STEPS = 5
SEGMENTS = [*[1] * 40, *[2] * 12, *[4] * 8, *[8] * 4]  # 64 replicas, 128 samples


def steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> float:
    begin = time.perf_counter()
    for _ in range(STEPS):
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - begin


def run() -> list[Row]:
    """Return the step time with 64 segments over the plain one-process step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # page faults come and go with what else has run, and take up to 20 % of a step
    keep_freed_memory()
    try:
        rows = []
        for name, bands, size, pairs, times_larger in CASES:
            shares = [times_larger * n for n in SEGMENTS]
            images = torch.randn(sum(shares), bands, size, size).contiguous(
                memory_format=torch.channels_last
            )
            labels = torch.randint(0, 8, (len(images),))
            plain = build_model(name, bands=bands, classes=8, size=size, norm="batch")
            plain = plain.to(memory_format=torch.channels_last)
            virtual = segment_batchnorm(copy.deepcopy(plain), shares)
            jobs = [
                (m, torch.optim.SGD(m.parameters(), lr=0.01), images, labels)
                for m in (virtual, plain, plain)
            ]
            times = []
            # each begins as often: the caches are as the last one left them
            for turn in range(pairs + 1):
                order = [(turn + place) % 3 for place in range(3)]
                times.append([taken for _, taken in sorted((k, steps(*jobs[k])) for k in order)])
            times = times[1:]
            title = f"{name}, {size} px, {len(shares)} replicas of {len(images)} samples"
            rows.append(
                row(f"{title}: virtual / plain", [a / b for a, b, _ in times], at_most=1.05)
            )
            rows.append(row(f"{title}: plain / plain", [b / c for _, b, c in times]))
        return rows
    finally:
        torch.set_num_threads(threads)
