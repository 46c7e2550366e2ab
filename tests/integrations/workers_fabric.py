"""Trainings with Lightning's Fabric that processes of a job run."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader

import hetlib
from tests.integrations import problem


class Training:
    """A loop with Fabric, and the samples that it saw.

    Args:
        options: Of the loader.
    """

    def __init__(self, **options: Any) -> None:
        self.own = problem.loader(**options)
        self.fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
        self.fabric.launch()
        net = problem.network()
        self.net, self.optimizer = self.fabric.setup(net, problem.optimizer_of(net))
        self.loader = self.fabric.setup_dataloaders(self.own, use_distributed_sampler=False)
        self.validation = self.fabric.setup_dataloaders(
            DataLoader(problem.Samples(10), batch_size=2)
        )
        self.seen: list[int] = []

    def steps(self, most: int = problem.STEPS + 1) -> None:
        """Train a pass, or as many steps of it."""
        for step, batch in enumerate(self.loader, 1):
            self.seen += batch["number"].tolist()
            loss = problem.loss_of(self.net, batch)
            self.fabric.backward(hetlib.balance(loss, self.loader))
            self.optimizer.step()
            self.optimizer.zero_grad()
            if step == most:
                break

    def accumulated(self) -> None:
        """Train a pass whose windows of two batches make a step."""
        for step, batch in enumerate(self.loader, 1):
            self.seen += batch["number"].tolist()
            is_last = step % 2 == 0 or step == problem.STEPS
            with self.fabric.no_backward_sync(self.net, enabled=not is_last):
                loss = hetlib.balance(problem.loss_of(self.net, batch), self.loader)
                self.fabric.backward(loss / 2)
            if is_last:
                self.optimizer.step()
                self.optimizer.zero_grad()

    def validate(self) -> None:
        with torch.no_grad():
            for batch in self.validation:
                problem.loss_of(self.net, batch)

    def state(self) -> dict[str, Any]:
        return {"net": self.net, "optimizer": self.optimizer, "loader": self.own}

    def end(self) -> tuple[torch.Tensor, list[int]]:
        return problem.weights_of(self.net), self.seen


def trained(**options: Any) -> tuple[torch.Tensor, list[int]]:
    training = Training(**options)
    for _ in range(problem.EPOCHS):
        training.steps()
        training.validate()
    return training.end()


def trainings() -> dict[str, Any]:
    found = {"plain": trained(), "workers": trained(num_workers=2)}
    training = Training()
    for _ in range(problem.EPOCHS):
        training.accumulated()
    found["accumulated"] = training.end()
    for mutant in problem.MUTANTS:
        with problem.mutated(mutant):
            found[mutant] = trained()
    return found


def resumed(folder: str) -> dict[str, Any]:
    """Return what is trained when a job goes on from a checkpoint, after each number of steps."""
    found = {}
    for steps in (3, problem.STEPS):
        path = Path(folder, f"after-{steps}")
        first = Training(num_workers=2)
        first.steps(steps)
        first.fabric.save(path, first.state())

        second = Training(num_workers=2)
        second.fabric.load(path, second.state())
        while second.own.state_dict()["epoch"] < problem.EPOCHS:
            second.steps()
        weights, seen = second.end()
        found[f"after_{steps}"] = (weights, first.seen + seen)
    return found


def refusals() -> dict[str, str]:
    """Return what is said where Fabric would make the loader anew."""
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    data = problem.Samples()
    sampler = hetlib.BalancedSampler(len(data), problem.SHARES)
    loaders = {
        "ours": problem.loader(),
        "plain": DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data)),
    }
    said = {}
    for name, loader in loaders.items():
        try:
            fabric.setup_dataloaders(loader)
        except TypeError as error:
            said[name] = str(error)
    return said


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job, which begins without a process group."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    return {
        "trainings": trainings(),
        "resumed": resumed(folder),
        "refusals": refusals(),
        "script": problem.run_script("with_fabric")["own"].step,
    }
