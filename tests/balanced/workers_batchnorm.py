"""Functions of the BatchNorm tests that replicas run."""

from typing import Any

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


class Net(nn.Module):
    """Two BatchNorm layers, one of which is followed by a branch; ``dims`` 0 is a net of linear layers."""

    def __init__(self, dims: int, seed: int, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layer = (lambda a, b: CONV[dims](a, b, 3, padding=1)) if dims else nn.Linear
        self.first, self.second, self.side = layer(3, 5), layer(5, 4), layer(5, 4)
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
        return self.head(x.flatten(2).mean(2) if x.dim() > 2 else x)


def make_batch(
    samples: int, dims: int, seed: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = 3 + 2 * torch.randn(samples, 3, *[4] * dims, generator=generator, dtype=torch.float64)
    return images.to(dtype), torch.randint(0, 3, (samples,), generator=generator)


def numbers(*tensors: torch.Tensor) -> list[np.ndarray]:
    return [tensor.detach().double().numpy().copy() for tensor in tensors]


def train(rank: int, cases: list[dict[str, Any]]) -> list[dict[str, list[np.ndarray]]]:
    """Train each case for an epoch through DDP and `hetlib.balance`; return all that the reference has too."""
    results = []
    for case in cases:
        dims, seed, shares = case["dims"], case["seed"], case["shares"]
        dtype = getattr(torch, case.get("dtype", "float64"))
        sampler = hetlib.BalancedSampler(case["samples"], shares, seed=seed)
        network = Net(dims, seed, **case.get("options", {})).to(dtype)
        if case.get("last"):
            network = network.to(memory_format=FORMAT[dims])
        group = dist.new_group() if case.get("own_group") else None
        if case.get("convert", True):
            hetlib.convert_batchnorm(network, group)
        model = DistributedDataParallel(network, bucket_cap_mb=1e-4)
        results.append(epoch(hetlib.balance(model, sampler), network, case, dtype, list(sampler)))
    return results


def reference(case: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    """Return the same from one process that sees each global batch at once, in float64."""
    sampler = hetlib.BalancedSampler(case["samples"], case["shares"], rank=0, seed=case["seed"])
    network = Net(case["dims"], case["seed"], **case.get("options", {})).double()
    indices = [indices.tolist() for _, indices in sampler.steps()]
    return epoch(network, network, case, torch.float64, indices)


def epoch(
    model: nn.Module, network: nn.Module, case: dict[str, Any], dtype: Any, steps: list[list[int]]
) -> dict[str, list[np.ndarray]]:
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
        found["parameters"].append(
            np.concatenate([g.ravel() for g in numbers(*(p.grad for p in model.parameters()))])
        )
        optimizer.step()
        optimizer.zero_grad()
    found["buffers"] = numbers(*network.buffers())
    network.eval()
    found["evaluation"] = numbers(network(images[:5]))
    return found


def order_of_collectives(
    rank: int, shares: tuple[int, ...], own_group: bool, sizes: list[float]
) -> list[list[str]]:
    """Return, for each bucket size, in which order this rank starts its all-reduces."""
    logs = []
    original = dist.all_reduce
    for megabytes in sizes:
        log: list[str] = []

        def logged(tensor: torch.Tensor, *args: Any, log: list[str] = log, **options: Any) -> Any:
            log.append(f"norm {tensor.numel()}")
            return original(tensor, *args, **options)

        def hook(
            state: Any, bucket: dist.GradBucket, log: list[str] = log
        ) -> torch.futures.Future[torch.Tensor]:
            log.append(f"bucket {bucket.index()}")
            work = original(bucket.buffer().div_(dist.get_world_size()), async_op=True)
            return work.get_future().then(lambda future: future.value()[0])

        samples = 3 * sum(shares)
        sampler = hetlib.BalancedSampler(samples, shares, seed=0)
        network = hetlib.convert_batchnorm(
            Net(2, 0).double(), dist.new_group() if own_group else None
        )
        model = DistributedDataParallel(network, bucket_cap_mb=megabytes)
        model.register_comm_hook(None, hook)
        hetlib.balance(model, sampler)
        images, labels = make_batch(samples, 2, 0, torch.float64)
        dist.all_reduce = logged
        try:
            for indices in sampler:
                F.cross_entropy(model(images[indices]), labels[indices]).backward()
        finally:
            dist.all_reduce = original
        logs.append(log)
    return logs


def half_precision(rank: int, dtype: str, shares: list[int]) -> list[np.ndarray]:
    """Return outputs, input gradient and running statistics of one layer under autocast, with a large mean."""
    kind = getattr(torch, dtype)
    layer = batchnorm.BalancedBatchNorm2d(4)
    x = make_wide(sum(shares)).split(shares)[rank].requires_grad_()
    with torch.autocast("cpu", dtype=kind):
        y = layer(x.to(kind))
        assert y.dtype == kind
        (y.float().square() * torch.arange(4.0)[:, None, None]).sum().backward()
    assert layer.running_mean.dtype == torch.float32
    return numbers(y, x.grad, layer.running_mean, layer.running_var)


def make_wide(samples: int, mean: float = 8.0) -> torch.Tensor:
    return mean + torch.randn(samples, 4, 5, 5, generator=torch.Generator().manual_seed(1))


def large_mean(rank: int, shares: list[int], mean: float) -> list[np.ndarray]:
    layer = batchnorm.BalancedBatchNorm2d(4)
    whole = make_wide(sum(shares), mean)
    x = whole.split(shares)[rank].clone().requires_grad_()
    y = layer(x)
    (y * torch.sin(whole.split(shares)[rank] - mean)).sum().backward()
    return numbers(y, x.grad, layer.running_mean, layer.running_var)


def one_value(rank: int) -> str:
    layer = batchnorm.BalancedBatchNorm1d(3)
    layer(torch.randn(1 + rank, 3))  # each replica's own batch may be as small as that
    try:
        layer(torch.randn(1 - min(rank, 1), 3))
    except ValueError as error:
        return str(error)
    return ""


def pool(rank: int, weights: list[float], steps: int = 3) -> tuple[list[np.ndarray], int]:
    """Train local statistics of two layers, pool them; return them before and after, and the count of collectives."""
    torch.manual_seed(rank)
    kinds: list[dict[str, Any]] = [{}, {"track_running_stats": False}, {"momentum": None}]
    model = nn.ModuleList(nn.BatchNorm1d(3, **options) for options in kinds).double()
    for _ in range(steps):
        x = rank + torch.randn(8, 3, dtype=torch.float64)
        for layer in model:
            layer(x)
    kept = [model[0], model[2]]
    before = numbers(*(b for layer in kept for b in (layer.running_mean, layer.running_var)))
    calls, original = [], dist.all_reduce
    dist.all_reduce = lambda *args, **options: calls.append(1) or original(*args, **options)
    try:
        hetlib.pool_batchnorm(model, samples=weights[rank])
    finally:
        dist.all_reduce = original
    return [
        *before,
        *numbers(*(b for layer in kept for b in (layer.running_mean, layer.running_var))),
    ], len(calls)


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
    import copy

    x = torch.randn(4 + rank, 3, generator=torch.Generator().manual_seed(rank))
    plain = nn.BatchNorm1d(3)
    layer = hetlib.convert_batchnorm(
        copy.deepcopy(plain), dist.new_group([rank], use_local_synchronization=True)
    )
    alone = torch.equal(layer(x), plain(x)) and torch.equal(layer.running_var, plain.running_var)
    layer.eval()
    plain.eval()
    # ranks may call it as often as they like
    evaluation = torch.equal(layer(x[: rank + 1]), plain(x[: rank + 1]))
    copied = copy.deepcopy(hetlib.convert_batchnorm(nn.BatchNorm1d(3)))
    together = not torch.equal(copied(x), nn.BatchNorm1d(3)(x))
    return {
        "alone": alone,
        "evaluation": evaluation,
        "copy": together and isinstance(copied, BalancedBatchNorm),
    }


def plan_of_a_converted_model(rank: int) -> tuple[int, ...]:
    """Each rank times as many steps as it likes: the layers of the copy must not wait for each other."""
    model = hetlib.convert_batchnorm(Net(2, 0))
    return hetlib.plan(
        model, torch.randn(4, 3, 4, 4), global_batch=32, seconds=0.2 + 0.2 * rank
    ).shares
