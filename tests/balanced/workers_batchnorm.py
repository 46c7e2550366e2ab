"""Functions of the BatchNorm tests that replicas run."""

import contextlib
import copy
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.balanced.batchnorm import BalancedBatchNorm
from tests.balanced.workers_mistakes import message_of

Case = dict[str, Any]
Arrays = list[np.ndarray]

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {
    0: nn.BatchNorm1d,
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}
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
        x = self.first(self.norms[0](x))
        x = self.norms[1](x).relu()
        second = self.norms[2](self.second(x))
        side = self.norms[3](self.side(x))
        x = (second + side).tanh()
        if x.dim() > 2:
            x = x.flatten(2).mean(2)
        return self.head(x)


def make_batch(
    samples: int,
    dims: int,
    seed: int,
    dtype: torch.dtype,
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, 3, *[4] * dims)
    images = 3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (samples,), generator=generator)
    return images.to(dtype), labels


def numbers(*tensors: torch.Tensor) -> Arrays:
    return [tensor.detach().double().numpy().copy() for tensor in tensors]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    size = max(np.linalg.norm(expected), 1e-30)
    return float(np.linalg.norm(found - expected) / size)


def train(rank: int, cases: list[Case]) -> list[dict[str, Arrays]]:
    """Train each case for an epoch through DDP and `hetlib.balance`; return all of `epoch`."""
    return [train_case(case) for case in cases]


def deal(case: Case, rank: int | None = None) -> hetlib.BalancedSampler:
    samples = case["samples"]
    return hetlib.BalancedSampler(samples, case["shares"], rank=rank, seed=case["seed"])


def build(case: Case, dtype: torch.dtype) -> Net:
    options = case.get("options", {})
    return Net(case["dims"], case["seed"], **options).to(dtype)


def train_case(case: Case) -> dict[str, Arrays]:
    dtype = getattr(torch, case.get("dtype", "float64"))
    loader = hetlib.BalancedLoader(range(case["samples"]), case["shares"], seed=case["seed"])
    network = build(case, dtype)
    if case.get("last"):
        network = network.to(memory_format=FORMAT[case["dims"]])
    group = dist.new_group() if case.get("own_group") else None
    if case.get("convert", True):
        hetlib.convert_batchnorm(network, group)
    model = DistributedDataParallel(network, bucket_cap_mb=1e-4)
    return epoch(model, network, case, loader)


def reference(case: Case) -> dict[str, Arrays]:
    """Return the same from one process that sees each global batch at once, in float64."""
    network = build(case, torch.float64)
    steps = [indices.tolist() for _, indices in deal(case, rank=0).steps()]
    return epoch(network, network, case, steps)


def flat_gradient(model: nn.Module) -> np.ndarray:
    gradients = numbers(*[parameter.grad for parameter in model.parameters()])
    return np.concatenate([gradient.ravel() for gradient in gradients])


def epoch(
    model: nn.Module,
    network: nn.Module,
    case: Case,
    steps: Iterable[Any],
) -> dict[str, Arrays]:
    """Return outputs, and gradients of inputs and parameters, by step; then buffers and scores.

    Each step is the numbers of its samples; where a loader deals them, the loss is balanced.
    """
    dtype = next(network.parameters()).dtype
    images, labels = make_batch(case["samples"], case["dims"], case["seed"], dtype)
    outputs: Arrays = []
    of_inputs: Arrays = []
    of_parameters: Arrays = []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for indices in steps:
        x = images[indices]
        if case.get("last"):
            x = x.contiguous(memory_format=FORMAT[case["dims"]])
        x.requires_grad_()
        y = model(x)
        loss = F.cross_entropy(y, labels[indices])
        if isinstance(steps, hetlib.BalancedLoader):
            hetlib.balance(loss, steps)
        loss.backward()
        outputs += numbers(y)
        of_inputs += numbers(x.grad)
        of_parameters.append(flat_gradient(model))
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    return {
        "outputs": outputs,
        "inputs": of_inputs,
        "parameters": of_parameters,
        "buffers": numbers(*network.buffers()),
        "evaluation": numbers(network(images[:5])),
    }


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
    rank: int,
    shares: tuple[int, ...],
    own_group: bool,
    sizes: list[float],
) -> list[list[str]]:
    """Return, for each bucket size, in which order this rank starts its all-reduces."""
    return [order_at(shares, own_group, megabytes) for megabytes in sizes]


def order_at(shares: tuple[int, ...], own_group: bool, megabytes: float) -> list[str]:
    log: list[str] = []
    samples = 3 * sum(shares)
    loader = hetlib.BalancedLoader(range(samples), shares, seed=0)
    group = dist.new_group() if own_group else None
    network = hetlib.convert_batchnorm(Net(2, 0).double(), group)
    model = DistributedDataParallel(network, bucket_cap_mb=megabytes)
    model.register_comm_hook(log, reduce_and_log)
    images, labels = make_batch(samples, 2, 0, torch.float64)
    with logged(log):
        for indices in loader:
            loss = F.cross_entropy(model(images[indices]), labels[indices])
            hetlib.balance(loss, loader).backward()
    return log


def plain_where_it_has_to_be(rank: int) -> dict[str, bool]:
    """Whether evaluation, a group of one and a copy behave as documented."""
    generator = torch.Generator().manual_seed(rank)
    x = torch.randn(4 + rank, 3, generator=generator)
    plain = nn.BatchNorm1d(3)
    only_me = dist.new_group([rank], use_local_synchronization=True)
    norm = hetlib.convert_batchnorm(copy.deepcopy(plain), only_me)
    same_outputs = torch.equal(norm(x), plain(x))
    same_buffers = torch.equal(norm.running_var, plain.running_var)
    norm.eval()
    plain.eval()
    # ranks may call it as often as they like
    few = x[: rank + 1]
    evaluation = torch.equal(norm(few), plain(few))
    copied = copy.deepcopy(hetlib.convert_batchnorm(nn.BatchNorm1d(3)))
    together = not torch.equal(copied(x), nn.BatchNorm1d(3)(x))
    is_balanced = isinstance(copied, BalancedBatchNorm)
    return {
        "alone": same_outputs and same_buffers,
        "evaluation": evaluation,
        "copy": together and is_balanced,
    }


def plan_of_a_converted_model(rank: int) -> tuple[int, ...]:
    """Each rank times as many steps as it likes: the copy's layers must not wait for each other."""
    model = hetlib.convert_batchnorm(Net(2, 0))
    example = torch.randn(4, 3, 4, 4)
    plan = hetlib.plan(model, example, global_batch=32, seconds=0.2 + 0.2 * rank)
    return plan.shares


def read_without_its_group(rank: int) -> list[str]:
    """Pass samples through layers that were pickled; return what they refuse."""
    groups = [dist.new_group([0, 1]), dist.new_group([2])]
    own = groups[rank // 2]
    samples = torch.arange(4.0)[:, None]
    messages = []
    for group in (own, None, dist.group.WORLD):
        layer = hetlib.convert_batchnorm(nn.BatchNorm1d(1), group)
        read = pickle.loads(pickle.dumps(layer))
        copied = copy.deepcopy(read)
        for found in (read, copied):
            messages.append(message_of(found, samples))
            hetlib.convert_batchnorm(found, group)
            messages.append(message_of(found, samples))
    return messages


def copy_in_a_group(rank: int) -> list[float]:
    """Return the running mean of a copy that two of the replicas pass 3 and 1 samples through."""
    two = dist.new_group([0, 1])
    layer = hetlib.convert_batchnorm(torch.nn.BatchNorm1d(1), two)
    copied = copy.deepcopy(layer)
    assert copied.process_group is two
    assert copied.running_mean is not layer.running_mean
    assert pickle.loads(pickle.dumps(layer)).process_group is None
    if rank < 2:
        copied(torch.full((3 - 2 * rank, 1), 8.0 * rank))
    return list(copied.running_mean.tolist())
