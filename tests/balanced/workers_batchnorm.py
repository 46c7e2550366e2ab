"""Functions of the BatchNorm tests that replicas run."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.balanced import batchnorm
from hetlib.balanced.batchnorm import BalancedBatchNorm

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
FORMAT = {2: torch.channels_last, 3: torch.channels_last_3d}


def layer(dims: int, before: int, after: int) -> nn.Module:
    if dims == 0:
        return nn.Linear(before, after)
    return CONV[dims](before, after, 3, padding=1)


class Net(nn.Module):
    """Four BatchNorm layers, of which two are in branches; ``dims`` 0 is a net of linear layers."""

    def __init__(self, dims: int, seed: int, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = layer(dims, 3, 5)
        self.second = layer(dims, 5, 4)
        self.side = layer(dims, 5, 4)
        self.norms = nn.ModuleList(NORM[dims](n, **options) for n in (3, 5, 4, 4))
        for norm in self.norms:
            if norm.affine:
                nn.init.normal_(norm.weight, 1)
                nn.init.normal_(norm.bias)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[1](self.first(self.norms[0](x))).relu()
        x = self.norms[2](self.second(x)) + self.norms[3](self.side(x))
        x = x.tanh()
        if x.dim() > 2:
            x = x.flatten(2).mean(2)
        return self.head(x)


def make_batch(
    samples: int, dims: int, seed: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, 3, *[4] * dims)
    images = 3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    return images.to(dtype), labels


def numbers(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().double().numpy().copy() for tensor in tensors]


def train(rank: int, cases: list[dict[str, Any]]) -> list[dict[str, list[np.ndarray]]]:
    """Train each case for an epoch through DDP and `hetlib.balance`; return all of `epoch`."""
    return [train_case(case) for case in cases]


def train_case(case: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    dtype = getattr(torch, case.get("dtype", "float64"))
    sampler = hetlib.BalancedSampler(case["samples"], case["shares"], seed=case["seed"])
    network = Net(case["dims"], case["seed"], **case.get("options", {})).to(dtype)
    if case.get("last"):
        network = network.to(memory_format=FORMAT[case["dims"]])
    group = dist.new_group() if case.get("own_group") else None
    if case.get("convert", True):
        hetlib.convert_batchnorm(network, group)
    model = DistributedDataParallel(network, bucket_cap_mb=1e-4)
    return epoch(hetlib.balance(model, sampler), network, case, dtype, list(sampler))


def reference(case: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """Return the same from one process that sees each global batch at once, in float64."""
    sampler = hetlib.BalancedSampler(case["samples"], case["shares"], rank=0, seed=case["seed"])
    network = Net(case["dims"], case["seed"], **case.get("options", {})).double()
    indices = [indices.tolist() for _, indices in sampler.steps()]
    return epoch(network, network, case, torch.float64, indices)


def epoch(
    model: nn.Module,
    network: nn.Module,
    case: dict[str, Any],
    dtype: torch.dtype,
    steps: list[list[int]],
) -> dict[str, list[np.ndarray]]:
    """Return outputs, and gradients of inputs and parameters, by step; then buffers and scores."""
    images, labels = make_batch(case["samples"], case["dims"], case["seed"], dtype)
    found: dict[str, list[np.ndarray]] = {"outputs": [], "inputs": [], "parameters": []}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for indices in steps:
        x = images[indices]
        if case.get("last"):
            x = x.contiguous(memory_format=FORMAT[case["dims"]])
        x.requires_grad_()
        outputs = model(x)
        F.cross_entropy(outputs, labels[indices]).backward()
        found["outputs"] += numbers(outputs)
        found["inputs"] += numbers(x.grad)
        gradients = numbers(*[parameter.grad for parameter in model.parameters()])
        found["parameters"].append(np.concatenate([gradient.ravel() for gradient in gradients]))
        optimizer.step()
        optimizer.zero_grad()
    found["buffers"] = numbers(*network.buffers())
    network.eval()
    found["evaluation"] = numbers(network(images[:5]))
    return found


ALL_REDUCE = dist.all_reduce


@contextlib.contextmanager
def logged(log: list[str]) -> Iterator[None]:
    """Note each all-reduce of a layer with its size; DDP's own are not among them."""

    def all_reduce(tensor: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        log.append(f"norm {tensor.numel()}")
        return ALL_REDUCE(tensor, *arguments, **options)

    dist.all_reduce = all_reduce
    try:
        yield
    finally:
        dist.all_reduce = ALL_REDUCE


def reduce_and_log(log: list[str], bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Be DDP's hook: average a bucket, and note its number."""
    log.append(f"bucket {bucket.index()}")
    work = ALL_REDUCE(bucket.buffer().div_(dist.get_world_size()), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


def order_of_collectives(
    rank: int, shares: tuple[int, ...], own_group: bool, sizes: list[float]
) -> list[list[str]]:
    """Return, for each bucket size, in which order this rank starts its all-reduces."""
    return [order_at(shares, own_group, megabytes) for megabytes in sizes]


def order_at(shares: tuple[int, ...], own_group: bool, megabytes: float) -> list[str]:
    log: list[str] = []
    samples = 3 * sum(shares)
    sampler = hetlib.BalancedSampler(samples, shares, seed=0)
    group = dist.new_group() if own_group else None
    network = hetlib.convert_batchnorm(Net(2, 0).double(), group)
    model = DistributedDataParallel(network, bucket_cap_mb=megabytes)
    model.register_comm_hook(log, reduce_and_log)
    hetlib.balance(model, sampler)
    images, labels = make_batch(samples, 2, 0, torch.float64)
    with logged(log):
        for indices in sampler:
            F.cross_entropy(model(images[indices]), labels[indices]).backward()
    return log


def half_precision(rank: int, dtype: str, shares: list[int]) -> list[np.ndarray]:
    """Return what one layer makes of a large mean under autocast.

    Outputs, input gradient and running statistics.
    """
    kind = getattr(torch, dtype)
    norm = batchnorm.BalancedBatchNorm2d(4)
    x = make_wide(sum(shares)).split(shares)[rank].requires_grad_()
    with torch.autocast("cpu", dtype=kind):
        y = norm(x.to(kind))
        assert y.dtype == kind
        (y.float().square() * torch.arange(4.0)[:, None, None]).sum().backward()
    assert norm.running_mean.dtype == torch.float32
    return numbers(y, x.grad, norm.running_mean, norm.running_var)


def make_wide(samples: int, mean: float = 8.0) -> torch.Tensor:
    return mean + torch.randn(samples, 4, 5, 5, generator=torch.Generator().manual_seed(1))


def large_mean(rank: int, shares: list[int], mean: float) -> list[np.ndarray]:
    """Return outputs, input gradient and running statistics of one layer."""
    norm = batchnorm.BalancedBatchNorm2d(4)
    part = make_wide(sum(shares), mean).split(shares)[rank]
    x = part.clone().requires_grad_()
    y = norm(x)
    (y * torch.sin(part - mean)).sum().backward()
    return numbers(y, x.grad, norm.running_mean, norm.running_var)


def one_value(rank: int) -> str:
    norm = batchnorm.BalancedBatchNorm1d(3)
    norm(torch.randn(1 + rank, 3))  # each replica's own batch may be as small as that
    try:
        norm(torch.randn(1 - min(rank, 1), 3))
    except ValueError as error:
        return str(error)
    return ""


class Statistics(NamedTuple):
    mean: np.ndarray
    variance: np.ndarray


class Found(NamedTuple):
    """Running statistics of the layers that have some, and how many collectives pooled them."""

    before: list[Statistics]
    after: list[Statistics]
    collectives: int


def running(model: nn.Module) -> list[Statistics]:
    kept = [norm for norm in model if norm.running_mean is not None]
    return [Statistics(*numbers(norm.running_mean, norm.running_var)) for norm in kept]


def pool(rank: int, weights: list[float], steps: int = 3) -> Found:
    """Train local statistics of two layers and pool them."""
    torch.manual_seed(rank)
    kinds: list[dict[str, Any]] = [{}, {"track_running_stats": False}, {"momentum": None}]
    model = nn.ModuleList(nn.BatchNorm1d(3, **options) for options in kinds).double()
    for _ in range(steps):
        x = rank + torch.randn(8, 3, dtype=torch.float64)
        for norm in model:
            norm(x)
    before = running(model)
    calls: list[str] = []
    with logged(calls):
        hetlib.pool_batchnorm(model, samples=weights[rank])
    return Found(before, running(model), len(calls))


def bad_weights(rank: int) -> list[str]:
    messages = []
    for weights in ([1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, float("nan"), 2.0]):
        try:
            pool(rank, weights)
        except ValueError as error:
            messages.append(str(error))
    return messages


def plain_where_it_has_to_be(rank: int) -> dict[str, bool]:
    """Whether evaluation, a group of one and a copy behave as documented."""
    x = torch.randn(4 + rank, 3, generator=torch.Generator().manual_seed(rank))
    plain = nn.BatchNorm1d(3)
    only_me = dist.new_group([rank], use_local_synchronization=True)
    norm = hetlib.convert_batchnorm(copy.deepcopy(plain), only_me)
    alone = torch.equal(norm(x), plain(x)) and torch.equal(norm.running_var, plain.running_var)
    norm.eval()
    plain.eval()
    # ranks may call it as often as they like
    evaluation = torch.equal(norm(x[: rank + 1]), plain(x[: rank + 1]))
    copied = copy.deepcopy(hetlib.convert_batchnorm(nn.BatchNorm1d(3)))
    together = not torch.equal(copied(x), nn.BatchNorm1d(3)(x))
    is_balanced = isinstance(copied, BalancedBatchNorm)
    return {"alone": alone, "evaluation": evaluation, "copy": together and is_balanced}


def plan_of_a_converted_model(rank: int) -> tuple[int, ...]:
    """Each rank times as many steps as it likes: the copy's layers must not wait for each other."""
    model = hetlib.convert_batchnorm(Net(2, 0))
    example = torch.randn(4, 3, 4, 4)
    plan = hetlib.plan(model, example, global_batch=32, seconds=0.2 + 0.2 * rank)
    return plan.shares
