"""What does the balanced gradient cost over plain DDP? Same local batches, turns in one process group, two replicas."""

import random
import time
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
import torchvision
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.models.registry import build_model
from tests.bench import Row
from tests.bench._measure import row

# Name, and local batches: networks of 0.1, 1.5, 11 and 24 million weights.
CASES = (
    ("smallcnn", (96, 32)),
    ("mobilenet_v3_small", (48, 16)),
    ("resnet18", (24, 8)),
    ("resnet50", (12, 4)),
)
ROUNDS, WARM_UP = 60, 5


def make(name: str) -> Any:
    if name == "resnet50":
        return torchvision.models.resnet50(num_classes=10)
    return build_model(name, bands=3, classes=10, size=32)


def turns(rank: int, name: str, shares: tuple[int, ...]) -> dict[str, list[float]]:
    """Return the seconds of each step by kind; every round runs each kind once, in an order of its own."""
    images, labels = torch.randn(shares[rank], 3, 32, 32), torch.randint(0, 10, (shares[rank],))
    models: dict[str, Any] = {}
    for kind in ("plain", "plain again", "balanced"):
        torch.manual_seed(0)
        models[kind] = DistributedDataParallel(make(name), gradient_as_bucket_view=True)
    sampler = hetlib.BalancedSampler(sum(shares) * (ROUNDS + WARM_UP), shares)
    hetlib.balance(models["balanced"], sampler)
    reader = iter(sampler)
    taken: dict[str, list[float]] = {kind: [] for kind in models}
    order = random.Random(0)
    for step in range(ROUNDS + WARM_UP):
        for kind in order.sample(list(models), len(models)):
            if kind == "balanced":
                next(reader)
            dist.barrier()
            begin = time.perf_counter()
            F.cross_entropy(models[kind](images), labels).backward()
            dist.barrier()
            if step >= WARM_UP:
                taken[kind].append(time.perf_counter() - begin)
            models[kind].zero_grad()
    return taken


def run() -> list[Row]:
    """Return the step time of balanced over plain DDP, and of plain over plain in the same rounds as the noise."""
    rows = []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for name, shares in CASES:
            taken = replicas.run(turns, name, shares)[0]
            millions = sum(p.numel() for p in make(name).parameters()) / 1e6
            ratios = {
                kind: [a / b for a, b in zip(taken[kind], taken["plain"], strict=True)]
                for kind in ("plain again", "balanced")
            }
            title = f"{name} ({millions:.1f} M weights), shares {'/'.join(map(str, shares))}"
            noise = row(f"{title}: plain / plain", ratios["plain again"])
            # The noise is what plain over plain shows at its upper end.
            rows += [
                noise,
                row(f"{title}: balanced / plain", ratios["balanced"], at_most=max(1.0, noise.high)),
            ]
    return rows
