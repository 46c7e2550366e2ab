"""What does the weight on the loss cost over plain DDP?

The same local batches, in turns, in one process group of two replicas.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
import torchvision
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.balanced.shares import slashed
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

# Computes a mean loss.
LossOf = Callable[[], torch.Tensor]


def make(name: str) -> Any:
    if name == "resnet50":
        return torchvision.models.resnet50(num_classes=10)
    return build_model(name, bands=3, classes=10, size=32)


def plain(loss_of: LossOf, loader: Any, count: int) -> torch.Tensor:
    return loss_of()


def dealt(loss_of: LossOf, loader: Any, count: int) -> torch.Tensor:
    """Weight by the counts that the loader dealt."""
    return hetlib.balance(loss_of(), loader)


def counted(loss_of: LossOf, loader: Any, count: int) -> torch.Tensor:
    """Sum the counts behind the forward pass, and wait for them."""
    return hetlib.balance(loss_of(), count=count)


def announced(loss_of: LossOf, loader: Any, count: int) -> torch.Tensor:
    """Sum the counts during the forward pass."""
    total = hetlib.announce(count)
    return hetlib.balance(loss_of(), count=total)


KINDS: dict[str, Callable[[LossOf, Any, int], torch.Tensor]] = {
    "plain": plain,
    "plain again": plain,
    "balanced": dealt,
    "count=": counted,
    "count= announced": announced,
}


def turns(rank: int, name: str, shares: tuple[int, ...]) -> dict[str, list[float]]:
    """Return the seconds of each step by kind; a round runs each once, in an order of its own."""
    images = torch.randn(shares[rank], 3, 32, 32)
    labels = torch.randint(0, 10, (shares[rank],))
    models: dict[str, Any] = {}
    for kind in KINDS:
        torch.manual_seed(0)
        models[kind] = DistributedDataParallel(make(name), gradient_as_bucket_view=True)
    steps = ROUNDS + WARM_UP
    loader = hetlib.BalancedLoader(range(sum(shares) * steps), shares)
    reader = iter(loader)
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    order = random.Random(0)

    for step in range(steps):
        next(reader)
        for kind in order.sample(list(KINDS), len(KINDS)):
            model = models[kind]

            def loss_of(model: Any = model) -> torch.Tensor:
                return F.cross_entropy(model(images), labels)

            dist.barrier()
            begin = time.perf_counter()
            KINDS[kind](loss_of, loader, shares[rank]).backward()
            dist.barrier()
            seconds = time.perf_counter() - begin
            if step >= WARM_UP:
                taken[kind].append(seconds)
            model.zero_grad()
    return taken


def over_plain(taken: dict[str, list[float]], kind: str) -> list[float]:
    pairs = zip(taken[kind], taken["plain"], strict=True)
    return [seconds / base for seconds, base in pairs]


def run() -> list[Row]:
    """Return step times over those of plain DDP, and of plain over plain as the noise."""
    rows = []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for name, shares in CASES:
            taken = replicas.run(turns, name, shares)[0]
            millions = sum(p.numel() for p in make(name).parameters()) / 1e6
            sizes = slashed(shares)
            title = f"{name} ({millions:.1f} M weights), shares {sizes}"
            noise = row(f"{title}: plain / plain", over_plain(taken, "plain again"))
            rows.append(noise)
            # The noise is what plain over plain shows at its upper end.
            goal = max(1.0, noise.high)
            for kind in ("balanced", "count=", "count= announced"):
                ratios = over_plain(taken, kind)
                # waiting for a sum of counts is what the other two do without
                limit = None if kind == "count=" else goal
                rows.append(row(f"{title}: {kind} / plain", ratios, at_most=limit))
    return rows
