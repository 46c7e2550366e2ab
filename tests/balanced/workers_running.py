"""Running statistics of BatchNorm in wrappers of many kinds, and steps in parts of it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.workers_mistakes import message_of

CHANNELS = 3
STEPS = 4

Wrap: TypeAlias = Callable[[nn.Module], nn.Module]


def batches(samples: int) -> list[torch.Tensor]:
    """Return the global batches, whose samples have means of their own."""
    generator = torch.Generator().manual_seed(5)
    places = torch.arange(samples, dtype=torch.float64)[:, None]
    shape = (samples, CHANNELS)
    return [torch.randn(shape, generator=generator).double() + places for _ in range(STEPS)]


def build(momentum: float | None = 0.1) -> nn.Sequential:
    """Return a network with three layers, of which one follows no statistics."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm1d(CHANNELS, momentum=momentum),
        nn.Linear(CHANNELS, 4),
        nn.BatchNorm1d(4, track_running_stats=False),
        nn.Tanh(),
        nn.BatchNorm1d(4, momentum=momentum),
    ).double()


def train(model: nn.Module, shares: tuple[int, ...], rank: int) -> None:
    for batch in batches(sum(shares)):
        model(batch.split(shares)[rank]).square().mean().backward()


def statistics(network: nn.Module) -> list[torch.Tensor]:
    """Return means and variances of all layers that follow them."""
    return [
        buffer.clone()
        for name, buffer in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    ]


def ddp(network: nn.Module, **options: Any) -> nn.Module:
    """Wrap as DDP does by default, and tell it afterwards what older torch calls otherwise."""
    broadcast = options.pop("broadcast", False)
    model = DistributedDataParallel(network, **options)
    model.broadcast_buffers = broadcast
    return model


def in_evaluation(network: nn.Module, **options: Any) -> nn.Module:
    """Put the wrapper into evaluation and the network within into training."""
    model = ddp(network, **options)
    model.eval()
    network.train()
    return model


def nested(network: nn.Module, inner: bool = False, outer: bool = False) -> nn.Module:
    """Wrap a part of what is wrapped."""
    within = nn.Sequential(ddp(network, broadcast=inner), nn.Linear(4, 1).double())
    return ddp(within, broadcast=outer)


def ignoring(network: nn.Module) -> nn.Module:
    """Tell DDP to leave the layers' buffers alone."""
    names = [name for name, _ in network.named_buffers()]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(network, names)
    return ddp(network, broadcast=True)


def of_own_group(network: nn.Module) -> nn.Module:
    return ddp(network, process_group=dist.new_group())


def wrapped_before(network: nn.Module) -> nn.Module:
    """Wrap again what a wrapper held that is gone, and had sent buffers."""
    ddp(network, broadcast=True)
    return ddp(network)


def resumed(network: nn.Module, assign: bool = False) -> nn.Module:
    """Load a checkpoint into what is wrapped."""
    model = ddp(network)
    network.load_state_dict(build().state_dict(), assign=assign)
    return model


def sharded(network: nn.Module) -> nn.Module:
    fully_shard(network)
    return network


def broadcasting(network: nn.Module) -> nn.Module:
    return ddp(network, broadcast=True)


RIGHT: dict[str, Wrap] = {
    "not sent": ddp,
    "in evaluation": in_evaluation,
    "nested": nested,
    "ignored": ignoring,
    "of a group": of_own_group,
    "wrapped before": wrapped_before,
    "resumed": resumed,
    "resumed, assigned": lambda network: resumed(network, assign=True),
    "sharded": sharded,
    "no wrapper": lambda network: network,
    "static graph": lambda network: ddp(network, static_graph=True),
}

REFUSED: dict[str, Wrap] = {
    "as it is": DistributedDataParallel,
    "in evaluation": lambda network: in_evaluation(network, broadcast=True),
    "nested, inner": lambda network: nested(network, inner=True),
    "nested, outer": lambda network: nested(network, outer=True),
}


def pooled(
    rank: int, name: str, shares: tuple[int, ...], momentum: float | None = 0.1
) -> list[torch.Tensor]:
    """Train in a wrapper; return what is pooled behind the last step."""
    network = build(momentum)
    model = RIGHT[name](network)
    train(model, shares, rank)
    hetlib.pool_batchnorm(network, samples=shares[rank])
    return statistics(network)


def expected(shares: tuple[int, ...], momentum: float | None = 0.1) -> list[torch.Tensor]:
    """Return the same from networks that know nothing of each other."""
    alone = []
    for rank in range(len(shares)):
        network = build(momentum)
        train(network, shares, rank)
        alone.append(statistics(network))
    weights = torch.tensor(shares, dtype=torch.float64)[:, None] / sum(shares)
    found = []
    for place in range(0, len(alone[0]), 2):
        means = torch.stack([kept[place] for kept in alone])
        variances = torch.stack([kept[place + 1] for kept in alone])
        mean = (weights * means).sum(0)
        found += [mean, (weights * (variances + (means - mean) ** 2)).sum(0)]
    return found


def refusals(rank: int) -> dict[str, str]:
    """Pool behind steps before which rank 0's buffers were sent."""
    found = {}
    for name, wrap in REFUSED.items():
        network = build()
        model = wrap(network)
        train(model, (4, 4), rank)
        found[name] = message_of(hetlib.pool_batchnorm, network, samples=4)
    return found


def of_all_replicas(rank: int) -> list[list[torch.Tensor]]:
    """Pool what goes over all replicas already, under DDP as it is."""
    network = hetlib.convert_batchnorm(build())
    train(DistributedDataParallel(network), (6, 2), rank)
    before = statistics(network)
    hetlib.pool_batchnorm(network, samples=1 + rank)
    return [before, statistics(network)]


def of_two_groups(rank: int) -> str:
    """Pool layers in wrappers of several groups."""
    first = build()
    second = build()
    models = [of_own_group(first), of_own_group(second)]
    both = nn.ModuleList([first, second])
    message = message_of(hetlib.pool_batchnorm, both)
    hetlib.pool_batchnorm(both, dist.group.WORLD)
    assert len(models) == 2
    return message


# Steps in parts


def loss_of(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return model(inputs).square().mean()


def network_of_all() -> nn.Module:
    network = hetlib.convert_batchnorm(build())
    return nn.Sequential(network, nn.Linear(4, 2).double())


def step_in_parts(model: Any, loader: Any, inputs: torch.Tensor, parts: list[slice]) -> None:
    """Take a step as scripts do: all parts but the last without an exchange."""
    whole = next(iter(loader))
    for number, part in enumerate(parts):
        is_last = number + 1 == len(parts)
        with contextlib.nullcontext() if is_last else model.no_sync():
            chosen = whole[part]
            loss = loss_of(model, inputs[chosen])
            hetlib.balance(loss, loader, samples=len(chosen)).backward()


def in_unequal_parts(rank: int, most: tuple[int, ...], shares: tuple[int, ...]) -> str:
    """Return the message of a step in which the replicas take other numbers of parts."""
    loader = hetlib.BalancedLoader(range(sum(shares)), shares, seed=0)
    model = DistributedDataParallel(network_of_all())
    parts = hetlib.micro_batches(shares[rank], most[rank])
    return message_of(step_in_parts, model, loader, batches(sum(shares))[0], parts)


def in_unequal_parts_sharded(rank: int, most: tuple[int, ...], shares: tuple[int, ...]) -> str:
    """Return the same where weights are sharded."""
    loader = hetlib.BalancedLoader(range(sum(shares)), shares, seed=0)
    model: Any = network_of_all()
    fully_shard(model)
    model.no_sync = lambda: unsynchronised(model)
    parts = hetlib.micro_batches(shares[rank], most[rank])
    return message_of(step_in_parts, model, loader, batches(sum(shares))[0], parts)


@contextlib.contextmanager
def unsynchronised(model: Any) -> Iterator[None]:
    """Be what DDP's ``no_sync`` is, for FSDP2."""
    model.set_requires_gradient_sync(False)
    yield
    model.set_requires_gradient_sync(True)


def in_equal_parts(rank: int, shares: tuple[int, ...], most: int) -> torch.Tensor:
    """Return the gradient of a step in as many parts as the replica with the most takes."""
    loader = hetlib.BalancedLoader(range(sum(shares)), shares, seed=0)
    model = DistributedDataParallel(network_of_all())
    passes = max(len(hetlib.micro_batches(samples, most)) for samples in shares)
    parts = hetlib.micro_batches(shares[rank], most, parts=passes)
    step_in_parts(model, loader, batches(sum(shares))[0], parts)
    return gradient(model.module)


def gradient(network: nn.Module) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in network.parameters()])


def gradient_of_one_process(shares: tuple[int, ...], most: int) -> torch.Tensor:
    """Return the same of one process that takes the parts of all replicas together."""
    network = network_of_all()
    passes = max(len(hetlib.micro_batches(samples, most)) for samples in shares)
    inputs = batches(sum(shares))[0]
    loaders = [
        hetlib.BalancedLoader(range(sum(shares)), shares, seed=0, rank=rank)
        for rank in range(len(shares))
    ]
    dealt = [next(iter(loader)) for loader in loaders]
    cut = [hetlib.micro_batches(samples, most, parts=passes) for samples in shares]
    for number in range(passes):
        chosen = torch.cat([own[parts[number]] for own, parts in zip(dealt, cut, strict=True)])
        loss = loss_of(network, inputs[chosen]) * len(chosen) / sum(shares)
        loss.backward()
    return gradient(network)
