"""What replicas make of a situation, and what one process makes of the same batches."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
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
    loader = hetlib.BalancedLoader(range(s.samples), s.shares, seed=1)
    model = _wrapped(s, net)
    kind = torch.device(s.device(rank)).type
    scaler = torch.amp.GradScaler(kind, init_scale=256, enabled=s.precision == "float16")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    dtype = torch.float32 if s.precision else torch.float64

    results = []
    for indices in loader:
        x = images[indices].to(s.device(rank), dtype)
        y = labels[indices].to(s.device(rank))
        most = s.most(rank, len(indices))
        parts = list(zip(x.split(most), y.split(most), strict=True))
        _backward(s, model, parts, scaler, partial(_balanced, s, loader, _announced(s, y)))
        scaler.unscale_(optimizer)
        scaler.update()
        if s.check and not results:
            _check(s, model, x, y, loader)
        hetlib.check_weights(model)
        if s.clip:
            nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        found = gradient(net)
        assert torch.isfinite(found).all()
        results.append(found.double().cpu())
        net.zero_grad()
    return results


def _announced(s: Situation, y: torch.Tensor) -> Any:
    """Return the count of a batch, which travels during the forward pass, where one is needed."""
    if s.counted:
        return hetlib.announce(count(s, y))
    return None


def _balanced(
    s: Situation, loader: Any, announced: Any, loss: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """Return the loss of a part of a batch, weighted."""
    if s.reduction == "sum":
        return hetlib.balance(loss, loader, reduction="sum")
    if announced is not None:
        return hetlib.balance(loss, count=announced, samples=count(s, y))
    return hetlib.balance(loss, loader, samples=len(y))


def _check(s: Situation, model: nn.Module, x: torch.Tensor, y: torch.Tensor, loader: Any) -> None:
    own = count(s, y) if s.counted else None
    hetlib.check_gradient(
        model,
        lambda network, batch: loss_of(s, network, *batch),
        (x, y),
        loader=None if s.counted else loader,
        count=own,
        reduction=s.reduction,
    )


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


def _wrapped(s: Situation, net: nn.Module) -> Any:
    """Return the network under DDP, compiled where the situation says so."""
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
    if s.compiled == "outside":
        model = torch.compile(model, backend="aot_eager")
    return model


def _backward(
    s: Situation,
    model: Any,
    parts: list[tuple[torch.Tensor, torch.Tensor]],
    scaler: torch.amp.GradScaler,
    balanced: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """Add up the gradients of all parts; the last one starts their exchange."""
    for number, (x, y) in enumerate(parts, 1):
        last = number == len(parts)
        with contextlib.nullcontext() if last else model.no_sync(), autocast(s, x.device):
            loss = balanced(loss_of(s, model, x, y), y)
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


def evaluates_and_trains_on_others(rank: int) -> tuple[str, list[tuple[int, ...]], dict[str, Any]]:
    """Return the error of a batch that was not dealt, the counts of an epoch, and its state.

    Batches that were not dealt, and the loader itself, are evaluated between the steps.
    """
    images, labels = make(Situation(samples=16))
    model = DistributedDataParallel(Net())
    loader = hetlib.BalancedLoader(range(16), (6, 2), seed=1)
    refused = ""
    try:
        hetlib.balance(F.cross_entropy(model(images), labels), loader)
    except RuntimeError as error:
        refused = str(error)
    counts = []
    for indices in loader:
        with torch.no_grad():
            model(images[:3])
            assert sum(len(some) for some in loader) == (12, 4)[rank]
        loss = F.cross_entropy(model(images[indices]), labels[indices])
        hetlib.balance(loss, loader).backward()
        counts.append(loader.counts)
    return refused, counts, loader.state_dict()


def overflow(rank: int) -> list[tuple[float, bool]]:
    """Return the loss scale and whether the weights moved, step by step.

    Replica 1 alone overflows in the third step.
    """
    net = Net().float()
    loader = hetlib.BalancedLoader(range(16), (6, 2), seed=1)
    model = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=2)
    s = Situation(samples=16)
    images, labels = make(s)
    seen = []
    for step, indices in enumerate(_two_epochs(loader)):
        before = net.first.weight.clone()
        with torch.autocast("cpu", torch.float16):
            loss = loss_of(s, model, images[indices].float(), labels[indices])
        too_large = 1e30 if rank == 1 and step == 2 else 1
        scaler.scale(hetlib.balance(loss, loader) * too_large).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        moved = not before.equal(net.first.weight)
        seen.append((scaler.get_scale(), moved))
    return seen


def _two_epochs(loader: Any) -> Iterator[Any]:
    for _ in range(2):
        yield from loader


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


def sizes_after_resuming(rank: int) -> list[int]:
    """Change shares from a later step on, resume before it, and change them again at once."""
    sizes = []
    loader = hetlib.BalancedLoader(range(80), (6, 2))
    for batch in itertools.islice(loader, 2):
        hetlib.balance(torch.ones(2, requires_grad=True).mean(), loader)
        sizes.append(len(batch))
    loader.replan([1, 7], step=6)

    resumed = hetlib.BalancedLoader(range(80), (6, 2))
    resumed.load_state_dict(loader.state_dict())
    for batch in resumed:
        hetlib.balance(torch.ones(2, requires_grad=True).mean(), resumed)
        if len(sizes) == 2:
            resumed.replan([4, 4])
        sizes.append(len(batch))
    return sizes


def sizes_of_a_group(rank: int) -> list[int]:
    """Change shares among the first two replicas, which have read different numbers of batches."""
    group = dist.new_group([0, 1])
    if rank == 2:
        return []
    sizes = []
    loader = hetlib.BalancedLoader(range(80), (6, 2), rank=rank)
    batches = iter(loader)
    for _ in range(2 + rank):
        sizes.append(len(next(batches)))
    loader.replan([1, 7], group=group)
    return sizes + [len(batch) for batch in batches]
