"""Trainings with Hugging Face Accelerate that processes of a job run."""

import warnings
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.utils.data import DataLoader

import hetlib
from tests.integrations import problem


class Training:
    """A loop with an accelerator, and the samples that it saw.

    Args:
        accumulate: Batches that make a step.
        prepared: Whether the accelerator is given the loader, too.
        options: Of the loader.
    """

    def __init__(self, *, accumulate: int = 1, prepared: bool = True, **options: Any) -> None:
        # before there is a job
        self.loader: Any = problem.loader(**options)
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
        net = problem.network()
        self.net, self.optimizer = self.accelerator.prepare(net, problem.optimizer_of(net))
        if prepared:
            self.loader = self.accelerator.prepare(self.loader)
        self.validation = self.accelerator.prepare(DataLoader(problem.Samples(10), batch_size=2))
        self.seen: list[int] = []

    def steps(self, batches: Any = None, *, most: int = problem.STEPS, count: bool = False) -> None:
        """Train a pass, or as many steps of it.

        Args:
            batches: Another loader's, in place of this one's.
            most: Steps.
            count: Whether the replicas count, as the loop reads ahead or skips.
        """
        for step, batch in enumerate(batches or self.loader, 1):
            self.seen += batch["number"].tolist()
            with self.accelerator.accumulate(self.net):
                loss = problem.loss_of(self.net, batch)
                counted = len(batch["labels"]) if count else None
                hetlib.balance(loss, self.loader, count=counted)
                self.accelerator.backward(loss)
                self.optimizer.step()
                self.optimizer.zero_grad()
            if step == most:
                break

    def validate(self) -> None:
        with torch.no_grad():
            for batch in self.validation:
                problem.loss_of(self.net, batch)

    def epochs(self) -> "Training":
        for _ in range(problem.EPOCHS):
            # to the end, as its users do
            self.steps(most=problem.STEPS + 1)
            self.validate()
        return self

    def end(self) -> tuple[torch.Tensor, list[int]]:
        self.accelerator.free_memory()
        return problem.weights_of(self.net), self.seen


def trainings() -> dict[str, Any]:
    found = {
        "prepared": Training().epochs().end(),
        "not_prepared": Training(prepared=False).epochs().end(),
        "workers": Training(num_workers=2).epochs().end(),
        "accumulated": Training(accumulate=2).epochs().end(),
    }
    for mutant in problem.MUTANTS:
        with problem.mutated(mutant):
            found[mutant] = Training().epochs().end()
    return found


def resumed(folder: str) -> tuple[torch.Tensor, list[int]]:
    """Return what is trained when a job goes on from a state that was saved in mid-epoch."""
    first = Training(num_workers=2)
    first.accelerator.register_for_checkpointing(first.loader)
    first.steps(most=3)
    first.accelerator.save_state(folder)
    first.end()

    second = Training(num_workers=2)
    second.accelerator.register_for_checkpointing(second.loader)
    second.accelerator.load_state(folder)
    second.steps()
    second.steps()
    weights, seen = second.end()
    return weights, first.seen + seen


def skipped() -> tuple[torch.Tensor, list[int]]:
    """Return what is trained when the first batches of the second epoch are skipped to resume."""
    training = Training()
    training.steps()
    training.steps(most=3)
    rest = training.accelerator.skip_first_batches(training.loader, 3)
    training.steps(rest, count=True)
    return training.end()


def refusals() -> dict[str, str]:
    """Return what is said where batches would be dealt twice."""
    accelerator = Accelerator(cpu=True)
    data = problem.Samples()
    sampler = hetlib.BalancedSampler(len(data), problem.SHARES)
    plain = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
    try:
        accelerator.prepare(plain)
    except TypeError as error:
        return {"dealt_twice": str(error)}
    return {}


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job, which begins without a process group."""
    warnings.simplefilter("ignore")
    found = {
        "trainings": trainings(),
        "resumed": {"in_mid_epoch": resumed(folder), "by_skipping": skipped()},
        "refusals": refusals(),
    }
    AcceleratorState._reset_state(reset_partial_state=True)
    found["script"] = problem.run_script("with_accelerate")["loader"].step
    return found
