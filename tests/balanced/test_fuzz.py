"""Random training set-ups: 2,000 without processes, 50 with them, none differs from one process."""

import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import hetlib
from hetlib.balanced.segmented import segment_batchnorm
from hetlib.balanced.weights import replica_weights
from tests.balanced import workers
from tests.balanced.situations import Net, Situation, gradient, loss_of, make, options

# relative error, by the type that weights and images have
ALLOWED = {torch.float64: 1e-11, torch.float32: 2e-4}
DTYPES = list(ALLOWED)


def random_situation(rng: np.random.Generator, replicas: int) -> Situation:
    shares = rng.integers(0, 9, replicas)
    shares *= rng.random(replicas) < 0.8
    shares[rng.integers(replicas)] += 2
    samples = int(rng.integers(2, 2 * shares.sum() + 1))
    parts = None
    if rng.random() < 0.5:
        parts = tuple(rng.integers(1, 10, replicas).tolist())
    passes = int(rng.integers(1, 3))
    reduction = str(rng.choice(["mean", "mean", "sum"]))
    net = str(rng.choice(["", "shared", "frozen", "dict"]))
    view = bool(rng.random() < 0.5)
    bucket = float(rng.choice([1e-4, 25]))
    clip = float(rng.choice([0, 0.05]))
    return Situation(
        shares=tuple(shares.tolist()),
        samples=samples,
        parts=parts,
        passes=passes,
        reduction=reduction,
        net=net,
        ddp=options(gradient_as_bucket_view=view, bucket_cap_mb=bucket),
        clip=clip,
    )


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    difference = found.double() - expected
    return float(difference.norm() / expected.norm())


def weighted(s: Situation, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return each step's gradient as the weights and DDP's division make it."""
    images, labels = make(s)
    images = images.to(dtype)
    net = Net(s.net).to(dtype)
    replicas = len(s.shares)
    loaders = [
        hetlib.BalancedLoader(range(s.samples), s.shares, rank=rank, seed=1)
        for rank in range(replicas)
    ]
    steps = []
    for dealt in zip(*loaders, strict=True):
        net.zero_grad()
        for rank, (loader, indices) in enumerate(zip(loaders, dealt, strict=True)):
            most = s.most(rank, len(indices))
            inputs = images[indices].split(most)
            targets = labels[indices].split(most)
            for x, y in zip(inputs, targets, strict=True):
                loss = balanced(s, loss_of(s, net, x, y), loader, len(y))
                loss.backward()
        if s.clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        steps.append(gradient(net))
    return steps


def balanced(s: Situation, loss: torch.Tensor, loader: Any, samples: int) -> torch.Tensor:
    """Return the loss as DDP reduces it: weighted, over the number of replicas."""
    if s.reduction == "sum":
        return hetlib.balance(loss, loader, reduction="sum")
    return hetlib.balance(loss, loader, samples=samples) / len(s.shares)


def test_1400_set_ups_against_one_process():
    rng = np.random.default_rng(5)
    for case in range(1400):
        replicas = int(rng.integers(1, 6))
        s = random_situation(rng, replicas)
        dtype = DTYPES[case % 2]
        expected = workers.one_process(s)
        for found, whole in zip(weighted(s, dtype), expected, strict=True):
            assert relative(found, whole) < ALLOWED[dtype], s


def segmented(counts: list[int], weights: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Return the weighted gradient of all replicas from one pass, statistics by segment."""
    images, labels = make(Situation(samples=sum(counts)))
    net = segment_batchnorm(Net("batchnorm").to(dtype), counts)
    by_sample = np.repeat(weights / np.maximum(counts, 1), counts)
    scale = torch.from_numpy(by_sample).to(dtype)
    losses = F.cross_entropy(net(images.to(dtype)), labels, reduction="none")
    (losses * scale).sum().backward()
    return gradient(net)


def looped(counts: list[int], weights: np.ndarray) -> torch.Tensor:
    """Return the weighted gradient from a pass a replica, in float64."""
    images, labels = make(Situation(samples=sum(counts)))
    net = Net("batchnorm")
    inputs = images.split(counts)
    targets = labels.split(counts)
    for x, y, weight in zip(inputs, targets, weights, strict=True):
        if len(x):
            loss = F.cross_entropy(net(x), y) * weight
            loss.backward()
    return gradient(net)


def test_600_virtual_set_ups_with_batchnorm_against_a_loop_over_replicas():
    rng = np.random.default_rng(6)
    for case in range(600):
        dtype = DTYPES[case % 2]
        replicas = int(rng.integers(1, 6))
        counts = list(random_situation(rng, replicas).shares)
        weighting = str(rng.choice(["samples", "mean"]))
        weights = replica_weights(counts, weighting)
        virtual = segmented(counts, weights, dtype)
        loop = looped(counts, weights)
        assert relative(virtual, loop) < 10 * ALLOWED[dtype], (counts, dtype)


def test_50_set_ups_through_processes(team):
    rng = np.random.default_rng(7)
    cases = [random_situation(rng, 3) for _ in range(50)]
    made = team(1, 1, 1).run(workers.many_make, cases)[0]
    for s, steps in zip(cases, made, strict=True):
        expected = workers.one_process(s)
        for found, whole in zip(steps, expected, strict=True):
            assert relative(found, whole) < 1e-12, dataclasses.asdict(s)
