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


def resumed(folder: str, *, registered: bool) -> tuple[torch.Tensor, list[int]]:
    """Return what is trained when a job goes on from a state that was saved in mid-epoch."""
    first, second = _saved_and_loaded(folder, registered)
    second.steps()
    second.steps()
    weights, seen = second.end()
    return weights, first.seen + seen


def skipped(folder: str) -> tuple[torch.Tensor, list[int]]:
    """Return what is trained when the first batches of an epoch are skipped to resume."""
    first, second = _saved_and_loaded(folder, registered=False)
    rest = second.accelerator.skip_first_batches(second.loader, 3)
    second.steps(rest, count=True)
    second.steps()
    weights, seen = second.end()
    return weights, first.seen + seen


def _saved_and_loaded(folder: str, registered: bool) -> tuple[Training, Training]:
    """Return a training of three steps, and one that begins where it ended."""
    trainings = []
    for _ in range(2):
        training = Training(num_workers=2)
        if registered:
            training.accelerator.register_for_checkpointing(training.loader)
        if trainings:
            training.accelerator.load_state(folder)
        else:
            training.steps(most=3)
            training.accelerator.save_state(folder)
            training.end()
        trainings.append(training)
    return trainings[0], trainings[1]


def refusals() -> dict[str, str]:
    """Return what is said where batches would be dealt twice, or belong to another loader."""
    accelerator = Accelerator(cpu=True)
    data = problem.Samples()
    sampler = hetlib.BalancedSampler(len(data), problem.SHARES)
    plain = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
    training = Training()
    training.steps(most=3)
    rest = training.accelerator.skip_first_batches(training.loader, 3)
    attempts = {
        "dealt_twice": lambda: accelerator.prepare(plain),
        "skipped": lambda: training.steps(rest),
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except (TypeError, RuntimeError) as error:
            said[name] = str(error)
    training.end()
    return said


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job, which begins without a process group."""
    warnings.simplefilter("ignore")
    found = {
        "trainings": trainings(),
        "resumed": {
            "registered": resumed(f"{folder}/registered", registered=True),
            "by_itself": resumed(f"{folder}/by_itself", registered=False),
            "by_skipping": skipped(f"{folder}/by_skipping"),
        },
        "refusals": refusals(),
    }
    AcceleratorState._reset_state(reset_partial_state=True)
    found["script"] = problem.run_script("with_accelerate")["loader"].step
    return found
