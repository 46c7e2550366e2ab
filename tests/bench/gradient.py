"""What does the balanced gradient cost over plain DDP?

Same local batches, turns in one process group, two replicas.
"""

import random
import time

import torch
import torch.distributed as dist
import torch.nn.functional as F
import torchvision
from torch import nn
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
ROUNDS = 60
WARM_UP = 5
KINDS = ("plain", "plain again", "balanced")


def make(name: str) -> nn.Module:
    if name == "resnet50":
        return torchvision.models.resnet50(num_classes=10)
    return build_model(name, bands=3, classes=10, size=32)


def turns(rank: int, name: str, shares: tuple[int, ...]) -> dict[str, list[float]]:
    """Return the seconds of each step by kind.

    Every round runs each kind once, in an order of its own.
    """
    images = torch.randn(shares[rank], 3, 32, 32)
    labels = torch.randint(0, 10, (shares[rank],))
    models: dict[str, nn.Module] = {}
    for kind in KINDS:
        torch.manual_seed(0)
        models[kind] = DistributedDataParallel(make(name), gradient_as_bucket_view=True)
    rounds = ROUNDS + WARM_UP
    sampler = hetlib.BalancedSampler(sum(shares) * rounds, shares)
    hetlib.balance(models["balanced"], sampler)
    reader = iter(sampler)

    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    order = random.Random(0)
    for step in range(rounds):
        for kind in order.sample(KINDS, len(KINDS)):
            if kind == "balanced":
                next(reader)
            seconds = time_gradient(models[kind], images, labels)
            if step >= WARM_UP:
                taken[kind].append(seconds)
            models[kind].zero_grad()
    return taken


def time_gradient(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the seconds of both passes, until all replicas have the gradient."""
    dist.barrier()
    begin = time.perf_counter()
    F.cross_entropy(model(images), labels).backward()
    dist.barrier()
    return time.perf_counter() - begin


def over_plain(taken: dict[str, list[float]], kind: str) -> list[float]:
    """Return the ratios of a kind's steps and the plain ones of the same rounds."""
    return [a / b for a, b in zip(taken[kind], taken["plain"], strict=True)]


def run() -> list[Row]:
    """Return the step time of balanced over plain DDP.

    With it plain over plain in the same rounds, as the noise.
    """
    rows = []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for name, shares in CASES:
            taken = replicas.run(turns, name, shares)[0]
            millions = sum(p.numel() for p in make(name).parameters()) / 1e6
            held = "/".join(map(str, shares))
            title = f"{name} ({millions:.1f} M weights), shares {held}"
            noise = row(f"{title}: plain / plain", over_plain(taken, "plain again"))
            # The noise is what plain over plain shows at its upper end.
            limit = max(1.0, noise.high)
            ratios = over_plain(taken, "balanced")
            rows += [noise, row(f"{title}: balanced / plain", ratios, at_most=limit)]
    return rows
