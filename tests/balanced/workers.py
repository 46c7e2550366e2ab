"""What replicas make of a situation, and what one process makes of the same batches."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.situations import Net, Situation, autocast, count, gradient, loss_of, make


def many_make(rank: int, situations: list[Situation]) -> list[list[torch.Tensor]]:
    return [replicas_make(rank, s) for s in situations]


def replicas_make(rank: int, s: Situation) -> list[torch.Tensor]:
    """Return the gradient of every step as this replica has it."""
    if s.compiled:
        torch._dynamo.reset()
    images, labels = make(s)
    net = _network(s, s.device(rank))
    sampler = hetlib.BalancedSampler(s.samples, s.shares, seed=1)
    model = _balanced(s, net, sampler)
    scaler = torch.amp.GradScaler("cpu", init_scale=256, enabled=s.precision == "float16")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    dtype = torch.float32 if s.precision else torch.float64

    results = []
    for indices in sampler:
        x = images[indices].to(s.device(rank), dtype)
        y = labels[indices].to(s.device(rank))
        most = s.most(rank, len(indices))
        targets = y.split(most)
        parts = list(zip(x.split(most), targets, strict=True))
        if s.counted:
            counts = [count(s, part) for part in targets]
            hetlib.announce(model, *counts)
        _backward(s, model, parts, scaler)
        scaler.unscale_(optimizer)
        scaler.update()
        if s.clip:
            nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        found = gradient(net)
        assert torch.isfinite(found).all()
        results.append(found.double().cpu())
        net.zero_grad()
    return results


def _network(s: Situation, device: str) -> nn.Module:
    net: Any = Net(s.net)
    if s.channels_last:
        net = net.to(memory_format=torch.channels_last)
    if s.precision:
        net = net.float()
    net = net.to(device)
    if s.net == "batchnorm":
        hetlib.convert_batchnorm(net, dist.new_group())
    return net


def _balanced(s: Situation, net: nn.Module, sampler: hetlib.BalancedSampler) -> Any:
    """Return the network under DDP and `hetlib.balance`, compiled where the situation says so."""
    inner: Any = net
    if s.compiled == "inside":
        inner = torch.compile(net, backend="aot_eager")
    model: Any = DistributedDataParallel(inner, **dict(s.ddp))
    if s.hook == "power":
        state = power.PowerSGDState(
            None, matrix_approximation_rank=64, start_powerSGD_iter=2, min_compression_rate=0.1
        )
        model.register_comm_hook(state, power.powerSGD_hook)
    elif s.hook:
        model.register_comm_hook(None, getattr(default_hooks, f"{s.hook}_compress_hook"))
    hetlib.balance(
        model,
        None if s.counted else sampler,
        passes=s.passes,
        reduction=s.reduction,
        check=s.check,
        verify_every=1,
    )
    if s.compiled == "outside":
        model = torch.compile(model, backend="aot_eager")
    return model


def _backward(
    s: Situation,
    model: Any,
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    scaler: torch.amp.GradScaler,
) -> None:
    """Add up the gradients of all parts; the last one starts their exchange."""
    for number, (x, y) in enumerate(parts, 1):
        last = number == len(parts)
        with contextlib.nullcontext() if last else model.no_sync(), autocast(s):
            loss = loss_of(s, model, x, y)
            scaler.scale(loss).backward()


def one_process(s: Situation) -> list[torch.Tensor]:
    """Return the same from one process in float64 with the whole global batch."""
    images, labels = make(s)
    net = Net(s.net)
    exact = dataclasses.replace(s, precision="")
    sampler = hetlib.BalancedSampler(s.samples, s.shares, rank=0, seed=1)
    results = []
    for _, indices in sampler.steps():
        net.zero_grad()
        loss_of(exact, net, images[indices], labels[indices]).backward()
        if s.clip:
            nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        results.append(gradient(net))
    return results


def overflow(rank: int) -> list[tuple[float, bool]]:
    """Return the loss scale and whether the weights moved, step by step.

    Replica 1 alone overflows in the third step.
    """
    net = Net().float()
    sampler = hetlib.BalancedSampler(16, (6, 2), seed=1)
    model = hetlib.balance(DistributedDataParallel(net), sampler)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=2)
    s = Situation(samples=16)
    images, labels = make(s)
    seen = []
    for step, indices in enumerate(itertools.chain(sampler, sampler)):
        before = net.first.weight.clone()
        with torch.autocast("cpu", torch.float16):
            loss = loss_of(s, model, images[indices].float(), labels[indices])
        too_large = 1e30 if rank == 1 and step == 2 else 1
        scaler.scale(loss * too_large).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        moved = not before.equal(net.first.weight)
        seen.append((scaler.get_scale(), moved))
    return seen


def loaded_batches(rank: int) -> list[tuple[int, ...]]:
    """Return the shapes that a DataLoader with `collate` gives this replica."""
    images, labels = make(Situation(samples=16))
    data = torch.utils.data.TensorDataset(images, labels)
    sampler = hetlib.BalancedSampler(16, (6, 0), rank=rank)
    loader = torch.utils.data.DataLoader(
        data, batch_sampler=sampler, collate_fn=hetlib.collate(data)
    )
    return [tuple(x.shape) + tuple(y.shape) for x, y in _typed(loader)]


def _typed(loader: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for x, y in loader:
        assert x.dtype == torch.float64
        assert y.dtype == torch.int64
        yield x, y
