"""Jobs in replicas, loops of many kinds, and mutants of the weight."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.balanced import loss as loss_module
from tests.balanced.job_table import JOBS
from tests.balanced.jobs import INPUTS, LABELS, SAMPLES, Job, Tokens

EPOCHS = 2


class InReplicas:
    """Weights a loss by the loader."""

    def __init__(self, loader: hetlib.BalancedLoader) -> None:
        self.loader = loader
        self.announce = hetlib.announce

    def __call__(self, loss: torch.Tensor, whole: int = 0, **options: Any) -> torch.Tensor:
        if "count" in options:
            return hetlib.balance(loss, **options)
        return hetlib.balance(loss, self.loader, **options)


class Alone:
    """Leaves a loss as it is, but for parts of a batch."""

    def announce(self, count: Any) -> Any:
        return count

    def __call__(
        self, loss: torch.Tensor, samples: int = 1, whole: int = 1, count: Any = None
    ) -> torch.Tensor:
        return loss * (samples / max(whole, 1)) if whole > 1 else loss


def weights_of(networks: list[torch.nn.Module]) -> torch.Tensor:
    found = [weight.detach().flatten() for net in networks for weight in net.parameters()]
    return torch.cat(found)


def train(job: Job, models: Any, networks: Any, loader: Any, balance: Any) -> list[torch.Tensor]:
    """Train the epochs of a job; return the weights behind each."""
    optimizers = job.optimizers(networks)
    seen = []
    for _ in range(EPOCHS):
        with job.around(models):
            for indices in loader:
                job.step(models, optimizers, indices, balance)
        seen.append(weights_of(networks).clone())
    return seen


def built(job: Job) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    return [network.double() for network in job.networks()]


def in_replicas(
    rank: int, name: str, shares: tuple[int, ...], mutant: str = ""
) -> list[torch.Tensor]:
    job = JOBS[name]
    networks = built(job)
    models = [DistributedDataParallel(network, **job.ddp) for network in networks]
    job.prepare(models)
    loader = hetlib.BalancedLoader(range(SAMPLES), shares, seed=1)
    with MUTANTS[mutant]():
        return train(job, models, networks, loader, InReplicas(loader))


def alone(name: str, shares: tuple[int, ...]) -> list[torch.Tensor]:
    job = JOBS[name]
    networks = built(job)
    loader = hetlib.BalancedLoader(range(SAMPLES), [sum(shares)], rank=0, seed=1)
    return train(job, networks, networks, loader, Alone())


# Jobs whose one loss the check can repeat.
REPEATED = [
    *("plain", "time first", "list of images", "shared adjacency", "dataclass", "dict of its own"),
    *("namespace", "loss inside", "penalties", "gradient penalty", "forces", "checkpointing"),
    *("frozen, shared, unused", "tokens", "two views", "distilled", "batchnorm over all"),
]


def first_gradient_is_accepted(rank: int, shares: tuple[int, ...]) -> None:
    """Check the first gradient of right jobs; the network and its gradients stay as they are."""
    for name in REPEATED:
        job = JOBS[name]
        network = built(job)[0]
        model = DistributedDataParallel(network, **job.ddp)
        loader = hetlib.BalancedLoader(range(SAMPLES), shares, seed=1)
        indices = next(iter(loader))
        options: dict[str, Any] = {"loader": loader}
        if isinstance(job, Tokens):
            options = {"count": (job.tokens(indices) >= 0).sum()}
        balanced = {} if "loader" in options else options
        hetlib.balance(
            job.loss(model, indices), None if balanced else loader, **balanced
        ).backward()
        before = [weight.grad for weight in network.parameters()]
        hetlib.check_gradient(model, job.loss, indices, **options)
        for weight, gradient in zip(network.parameters(), before, strict=True):
            assert weight.grad is gradient


def parts_are_accepted(rank: int) -> None:
    """Check a batch that went through in parts, in other numbers on each replica."""
    job = JOBS["micro-batches"]
    network = built(job)[0]
    model = DistributedDataParallel(network)
    loader = hetlib.BalancedLoader(range(SAMPLES), (6, 2), seed=1)
    indices = next(iter(loader))
    *early, last = indices.split(2)
    with model.no_sync():
        for part in early:
            hetlib.balance(job.loss(model, part), loader, samples=len(part)).backward()
    hetlib.balance(job.loss(model, last), loader, samples=len(last)).backward()
    hetlib.check_gradient(model, job.loss, indices, loader=loader)


def sharded(rank: int, shares: tuple[int, ...]) -> list[torch.Tensor]:
    """Train with weights that are sharded over the replicas; return them whole."""
    job = JOBS["two views"]
    network = built(job)[0]
    fully_shard(network)
    loader = hetlib.BalancedLoader(range(SAMPLES), shares, seed=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    seen = []
    for _ in range(EPOCHS):
        for indices in loader:
            hetlib.balance(job.loss(network, indices), loader).backward()
            optimizer.step()
            optimizer.zero_grad()
        whole: Any = [weight.full_tensor() for weight in network.parameters()]
        seen.append(torch.cat([weight.detach().flatten() for weight in whole]))
    return seen


def without_a_factor() -> Any:
    """Leave every loss unweighted."""
    return mock.patch.object(loss_module, "weigh", lambda loss, factor: loss)


def by_the_plan() -> Any:
    """Weight each batch by the shares that were planned, also the short last one."""

    def planned(loader: Any, samples: Any = None) -> tuple[Any, float]:
        batch, _ = loader.take_whole(samples)
        shares = loader.dealer.plans[0][1]
        rank = dist.get_rank()
        return batch, len(shares) * shares[rank] / sum(shares)

    loader = hetlib.BalancedLoader
    whole = mock.patch.object(loader, "take_whole", loader.take_batch, create=True)
    patched = mock.patch.object(loader, "take_batch", planned)
    both = contextlib.ExitStack()
    both.enter_context(whole)
    both.enter_context(patched)
    return both


MUTANTS = {"": contextlib.nullcontext, "always 1": without_a_factor, "planned": by_the_plan}


# Loops


def looked(loader: Any, rank: int) -> Iterator[Any]:
    """Look at the first batch, on one replica alone."""
    if rank == 0:
        next(iter(loader))
    yield from loader


def zipped(loader: Any, rank: int) -> Iterator[Any]:
    """Read as many batches as there are, and never the end."""
    for _, batch in zip(range(len(loader)), loader, strict=False):
        yield batch


def nexts(loader: Any, rank: int) -> Iterator[Any]:
    iter(loader)
    reader = iter(loader)
    for _ in range(len(loader)):
        loader.set_epoch(loader.epoch)
        yield next(reader)


def left_early(loader: Any, rank: int) -> Iterator[Any]:
    """Leave the epoch after two steps, and go on with it."""
    yield from itertools.islice(loader, 2)
    yield from loader


def with_evaluations(loader: Any, rank: int) -> Iterator[Any]:
    """Evaluate the training set between the steps, on one replica alone."""
    for batch in loader:
        if rank == 0:
            with torch.no_grad():
                assert sum(len(some) for some in loader) > len(batch)
        yield batch


def resumed(loader: Any, rank: int) -> Iterator[Any]:
    """Save behind two steps, and go on in a loader of its own, which is balanced with."""
    yield from itertools.islice(loader, 2)
    state = loader.state_dict()
    loader.set_epoch(9)
    loader.load_state_dict(state)
    yield from loader


def planned_anew(loader: Any, rank: int) -> Iterator[Any]:
    """Change the shares behind the first step."""
    for batch in loader:
        yield batch
        if loader.step == 0:
            shares = loader.dealer.plans[-1][1]
            loader.replan([*shares[1:], shares[0]])


def plans_where_one_has_read_ahead(rank: int) -> list[tuple[int, tuple[int, ...]]]:
    """Deal anew where rank 1 has read two steps more; return the plans of this rank."""
    data = torch.utils.data.TensorDataset(torch.arange(24))
    loader = hetlib.BalancedLoader(data, [2, 1])
    batches = iter(loader)
    for _ in range(1 + 2 * rank):
        next(batches)
    loader.replan([1, 2])
    return loader.dealer.plans


def endless(loader: Any, rank: int) -> Iterator[Any]:
    """Read as many steps from a loop over epochs that never ends."""
    yield from itertools.islice(again_and_again(loader), len(loader))


def again_and_again(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def numbered(loader: Any, rank: int) -> Iterator[Any]:
    """Stop by a second iterator, which ends first and takes a batch along."""
    yield from (batch for batch, _ in zip(loader, range(1), strict=False))
    yield from (batch for _, batch in enumerate(loader, start=1))


LOOPS = {
    "endless": endless,
    "numbered": numbered,
    "looked at": looked,
    "zip": zipped,
    "exactly len": nexts,
    "left early": left_early,
    "evaluated": with_evaluations,
    "resumed": resumed,
    "planned anew": planned_anew,
}


def by_loop(
    rank: int | None, name: str, shares: tuple[int, ...], empty: str = "rows"
) -> torch.Tensor:
    """Return the weights that a loop trains; ``rank=None``: the plain loop of one process."""
    torch.manual_seed(0)
    network = torch.nn.Linear(INPUTS.shape[1], 3).double()
    model: Any = network
    loop = lambda loader, rank: iter(loader)  # noqa: E731
    loader = hetlib.BalancedLoader(range(SAMPLES), [sum(shares)], rank=0, seed=1)
    if rank is not None:
        model = DistributedDataParallel(network)
        loop = LOOPS[name]
        loader = hetlib.BalancedLoader(range(SAMPLES), shares, seed=1, empty=empty)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        for indices in loop(loader, rank or 0):
            loss = F.cross_entropy(model(INPUTS[indices]), LABELS[indices])
            hetlib.balance(loss, loader).backward()
            optimizer.step()
            optimizer.zero_grad()
    return weights_of([network])
