"""Trainings with torch's own parts that processes of a job run."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torchdata.stateful_dataloader import StatefulDataLoader

import hetlib
from tests.integrations import job, problem

BACKEND = "aot_eager"

Loss = Callable[[nn.Module, dict[str, torch.Tensor]], torch.Tensor]


class Training:
    """A loop of one's own, and the samples that it saw.

    Args:
        net: What computes the loss.
        loader: What hands out batches.
        loss: Of the network and a batch, weighted.
    """

    def __init__(self, net: nn.Module, loader: Iterable[Any], loss: Loss) -> None:
        self.net = net
        self.loader = loader
        self.loss = loss
        self.optimizer = problem.optimizer_of(net)
        self.seen: list[int] = []

    def steps(self, most: int = problem.STEPS) -> "Training":
        """Train a pass, or as many steps of it."""
        for step, batch in enumerate(self.loader, 1):
            self.seen += batch["number"].tolist()
            self.loss(self.net, batch).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if step == most:
                break
        return self

    def end(self) -> tuple[torch.Tensor, list[int]]:
        return problem.weights_of(self.net), self.seen


def trained(
    net: nn.Module, loader: hetlib.BalancedLoader, loss: Loss | None = None
) -> tuple[torch.Tensor, list[int]]:
    """Train all epochs with a loader, and look at the validation set between them."""
    training = Training(net, loader, loss or balanced(loader))
    for _ in range(problem.EPOCHS):
        training.steps()
        with torch.no_grad():
            problem.loss_of(net, problem.whole(10))
    return training.end()


def balanced(loader: Any) -> Loss:
    def loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return hetlib.balance(problem.loss_of(net, batch), loader)

    return loss


def counted(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return hetlib.balance(problem.loss_of(net, batch), count=len(batch["labels"]))


def compiled() -> dict[str, Any]:
    """Return what trainings end with that are compiled in one place or another."""

    def compiling(module: Any) -> Any:
        torch._dynamo.reset()
        return torch.compile(module, backend=BACKEND)

    loader = problem.loader()
    nets = {
        "inside": DistributedDataParallel(compiling(problem.network())),
        "outside": compiling(DistributedDataParallel(problem.network())),
    }
    found = {name: trained(net, problem.loader()) for name, net in nets.items()}
    losses = {
        "the_loss": lambda net, batch: hetlib.balance(
            compiling(problem.loss_of)(net, batch), loader
        ),
        "balance_too": compiling(balanced(loader)),
        "counting_too": compiling(counted),
    }
    for name, loss in losses.items():
        loader.set_epoch(0)
        found[name] = trained(DistributedDataParallel(problem.network()), loader, loss)
    return found


def sharded() -> nn.Module:
    net = problem.network()
    fully_shard(net[0])
    fully_shard(net)
    return net


def mutants(make: Callable[[], nn.Module]) -> dict[str, Any]:
    """Return what a training ends with whose weights are wrong."""
    found = {}
    for mutant in problem.MUTANTS:
        with problem.mutated(mutant):
            found[mutant] = trained(make(), problem.loader())
    return found


def divided() -> dict[str, str]:
    """Return what is said of an FSDP2 network that divides by another number than the replicas."""
    said = {}
    for factor in (1.0, 2.0):
        net = sharded()
        net.set_gradient_divide_factor(factor)
        other = sharded()
        other.set_gradient_divide_factor(1.0)
        try:
            trained(net, problem.loader())
            said[str(factor)] = ""
        except RuntimeError as error:
            said[str(factor)] = str(error)
            net.reshard()
    return said


def checkpointed(folder: str) -> dict[str, Any]:
    """Return what is trained when a distributed checkpoint is loaded in mid-epoch."""
    found = {}
    for make in (sharded, problem.network):
        first = _begun(make)
        first.steps(3)
        path = f"{folder}/{make.__name__}"
        dcp.save(_state(first), checkpoint_id=path)

        second = _begun(make)
        state = _state(second)
        dcp.load(state, checkpoint_id=path)
        set_state_dict(
            second.net,
            second.optimizer,
            model_state_dict=state["net"],
            optim_state_dict=state["optimizer"],
        )
        second.steps()
        second.steps()
        weights, seen = second.end()
        found[make.__name__] = (weights, first.seen + seen)
    return found


def _begun(make: Callable[[], nn.Module]) -> Training:
    net = make()
    if make is problem.network:
        net = DistributedDataParallel(net)
    loader = problem.loader(num_workers=2)
    return Training(net, loader, balanced(loader))


def _state(training: Training) -> dict[str, Any]:
    net, optimizer = get_state_dict(training.net, training.optimizer)
    return {"net": net, "optimizer": optimizer, "loader": training.loader}


def replanned(folder: str) -> list[Any]:
    """Return the plans that a checkpoint brings back, more than the loader had."""
    loader = problem.loader()
    loader.replan((8, 8), step=2)
    loader.replan((10, 6), step=7)
    dcp.save({"loader": loader}, checkpoint_id=f"{folder}/plans")
    loader = problem.loader()
    dcp.load({"loader": loader}, checkpoint_id=f"{folder}/plans")
    return loader.state_dict()["plans"]


def stateful(
    workers: int, snapshots: int, mutant: str = "", *, before: int = 3
) -> tuple[torch.Tensor, list[int]]:
    """Return what is trained with torchdata's loader, begun anew after some steps.

    Args:
        workers: Of the loader.
        snapshots: Steps from one snapshot of the sampler to the next.
        mutant: Of `problem.MUTANTS`; none if empty.
        before: Steps before the new beginning; more than an epoch has: at its end.
    """

    def begun() -> tuple[Training, hetlib.BalancedSampler]:
        data = problem.Samples()
        sampler = hetlib.BalancedSampler(len(data), problem.SHARES, seed=5)
        loader = StatefulDataLoader(
            data,
            batch_sampler=sampler,
            collate_fn=hetlib.collate(data),
            num_workers=workers,
            snapshot_every_n_steps=snapshots,
        )
        return Training(DistributedDataParallel(problem.network()), loader, counted), sampler

    with problem.mutated(mutant):
        first, _ = begun()
        first.steps(before)
        states = [part.state_dict() for part in (first.net, first.optimizer, first.loader)]

        second, sampler = begun()
        for part, state in zip((second.net, second.optimizer, second.loader), states, strict=True):
            part.load_state_dict(state)
        if before < problem.STEPS:
            second.steps()
        sampler.set_epoch(1)
        second.steps()
    weights, seen = second.end()
    return weights, first.seen + seen


def short_epochs(rank: int, number: int) -> int:
    """Return how many epochs of one step could be trained with workers, each begun anew."""
    dist.init_process_group("gloo")
    data = problem.Samples(16)
    loader = hetlib.BalancedLoader(data, problem.SHARES, seed=5, num_workers=2)
    training = Training(DistributedDataParallel(problem.network()), loader, balanced(loader))
    for _ in range(number):
        training.steps()
    return loader.epoch + 1


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job."""
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo")
    job.rest_before_forks()
    return {
        "compiled": compiled(),
        "compiled_mutants": mutants(
            lambda: torch.compile(DistributedDataParallel(problem.network()), backend=BACKEND)
        ),
        "fsdp": {"right": trained(sharded(), problem.loader(num_workers=2)), **mutants(sharded)},
        "divided": divided(),
        "checkpointed": checkpointed(folder),
        "plans": replanned(folder),
        "stateful": {
            "alone": stateful(0, 1),
            "workers": stateful(2, 1),
            "rare_snapshots": stateful(2, 2),
            "after_an_epoch": stateful(0, 1, before=problem.STEPS + 1),
            "after_an_epoch_with_rare_snapshots": stateful(2, 2, before=problem.STEPS + 1),
            **{mutant: stateful(0, 1, mutant) for mutant in problem.MUTANTS},
        },
        "scripts": {
            "with_fsdp": problem.run_script("with_fsdp")["resumed"].step,
            "with_compile": problem.run_script("with_compile")["loader"].step,
            "with_stateful_loader": problem.run_script("with_stateful_loader")["left"],
        },
    }
