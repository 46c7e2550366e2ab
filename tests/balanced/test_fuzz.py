"""Random training set-ups: 2,000 without processes, 50 with them, none differs from one process."""

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F

import hetlib
from hetlib.balanced.batchnorm import segment_batchnorm
from hetlib.balanced.counts import DealtCounts
from hetlib.balanced.weights import replica_weights
from tests.balanced import workers

ALLOWED = {torch.float64: 1e-11, torch.float32: 2e-4}


def random_situation(rng: np.random.Generator, replicas: int) -> workers.Situation:
    shares = rng.integers(0, 9, replicas) * (rng.random(replicas) < 0.8)
    shares[rng.integers(replicas)] += 2
    samples = int(rng.integers(2, 2 * shares.sum() + 1))
    parts = tuple(int(n) for n in rng.integers(1, 10, replicas)) if rng.random() < 0.5 else None
    return workers.Situation(
        shares=tuple(map(int, shares)),
        samples=samples,
        parts=parts,
        passes=int(rng.integers(1, 3)),
        reduction=str(rng.choice(["mean", "mean", "sum"])),
        net=str(rng.choice(["", "shared", "frozen", "dict"])),
        ddp=(
            ("gradient_as_bucket_view", bool(rng.random() < 0.5)),
            ("bucket_cap_mb", float(rng.choice([1e-4, 25]))),
        ),
        clip=float(rng.choice([0, 0.05])),
    )


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def weighted(s: workers.Situation, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return each step's gradient as the replicas' hooks and DDP's division make it, one pass after another."""
    images, labels = workers.make(s)
    net = workers.Net(s.net).to(dtype)
    replicas = len(s.shares)
    samplers = [
        hetlib.BalancedSampler(s.samples, s.shares, rank=r, seed=1) for r in range(replicas)
    ]
    factors = [DealtCounts(sampler, s.passes) for sampler in samplers]
    steps = []
    for dealt in zip(*samplers, strict=True):
        net.zero_grad()
        for rank, indices in enumerate(dealt):
            size = s.parts[rank] if s.parts else max(len(indices), 1)
            for x, y in zip(
                images[indices].to(dtype).split(size), labels[indices].split(size), strict=True
            ):
                scales = [factors[rank].factor(len(x)) for _ in range(s.passes)]
                factor = float(replicas) if s.reduction == "sum" else scales[0]
                if len(x):
                    (workers.loss_of(s, net, x, y) * factor / replicas).backward()
        if s.clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        steps.append(workers.gradient(net))
    return steps


def test_1400_set_ups_against_one_process():
    rng = np.random.default_rng(5)
    for case in range(1400):
        s, dtype = random_situation(rng, int(rng.integers(1, 6))), list(ALLOWED)[case % 2]
        for found, expected in zip(weighted(s, dtype), workers.one_process(s), strict=True):
            assert relative(found, expected) < ALLOWED[dtype], s


def test_600_virtual_set_ups_with_batchnorm_against_a_loop_over_replicas():
    rng = np.random.default_rng(6)
    for case in range(600):
        dtype, counts = (
            list(ALLOWED)[case % 2],
            random_situation(rng, int(rng.integers(1, 6))).shares,
        )
        weights = replica_weights(counts, str(rng.choice(["samples", "mean"])))
        images, labels = workers.make(workers.Situation(samples=sum(counts)))
        segments = list(counts)
        virtual = segment_batchnorm(workers.Net("batchnorm").to(dtype), segments)
        scale = torch.from_numpy(np.repeat(weights / np.maximum(counts, 1), counts)).to(dtype)
        (
            F.cross_entropy(virtual(images.to(dtype)), labels, reduction="none") * scale
        ).sum().backward()
        loop = workers.Net("batchnorm")
        for x, y, weight in zip(
            images.split(segments), labels.split(segments), weights, strict=True
        ):
            if len(x):
                (F.cross_entropy(loop(x), y) * weight).backward()
        assert relative(workers.gradient(virtual), workers.gradient(loop)) < 10 * ALLOWED[dtype], (
            counts,
            dtype,
        )


def test_50_set_ups_through_processes():
    rng = np.random.default_rng(7)
    cases = [random_situation(rng, 3) for _ in range(50)]
    with hetlib.Replicas(hetlib.Platform.emulated([1] * 3)) as replicas:
        made = replicas.run(workers.many_make, cases)[0]
    for s, steps in zip(cases, made, strict=True):
        for found, expected in zip(steps, workers.one_process(s), strict=True):
            assert relative(found, expected) < 1e-12, dataclasses.asdict(s)
