"""Trainings with Hugging Face's Trainer that processes of a job run."""

import logging
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DistributedSampler, SubsetRandomSampler
from transformers import PreTrainedConfig, Trainer, TrainerCallback, TrainingArguments
from transformers.loss.loss_utils import fixed_cross_entropy

import hetlib
from hetlib.integrations.transformers import BalancedTrainer
from tests.integrations import job, problem

DRAWN = 32  # samples of an epoch, where a sampler draws some of them


class Means(nn.Module):
    """Returns the mean over its batch, and notes the samples that it saw in training."""

    def __init__(self) -> None:
        super().__init__()
        self.net = problem.network()
        self.seen: list[int] = []

    def forward(
        self, inputs: torch.Tensor, number: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        if labels is None:  # where a function computes the loss
            return self.logits(inputs, number)
        return self.result(inputs, labels, number)

    def logits(self, inputs: torch.Tensor, number: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.seen += number.tolist()
        return {"logits": self.net(inputs)}

    def result(
        self,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        number: torch.Tensor,
        items: Any = None,
    ) -> dict[str, torch.Tensor]:
        found = self.logits(inputs, number)
        return {"loss": fixed_cross_entropy(found["logits"], labels, items), **found}


class Sums(Means):
    """Divides by the items of all replicas, as most models of the library do."""

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor, number: torch.Tensor, **options: Any
    ) -> dict[str, torch.Tensor]:
        return self.result(inputs, labels, number, options.get("num_items_in_batch"))


class Ignoring(Means):
    """Takes the items of all replicas and returns a mean, as some models of the library do."""

    def forward(
        self, inputs: torch.Tensor, labels: torch.Tensor, number: torch.Tensor, **_: Any
    ) -> dict[str, torch.Tensor]:
        return self.result(inputs, labels, number)


class Segmenting(Means):
    """Leaves out the label that its settings name, as the library's models of segmentation do."""

    def __init__(self) -> None:
        super().__init__()
        self.config = PreTrainedConfig(semantic_loss_ignore_index=problem.UNLABELLED)

    def result(
        self,
        inputs: torch.Tensor,
        labels: torch.Tensor,
        number: torch.Tensor,
        items: Any = None,
    ) -> dict[str, torch.Tensor]:
        found = super().result(inputs, labels, number)
        ignored = self.config.semantic_loss_ignore_index
        loss = F.cross_entropy(found["logits"], labels, ignore_index=ignored)
        return {**found, "loss": loss}


def mean_of(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    return F.cross_entropy(outputs["logits"], labels)


def sum_of(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    return fixed_cross_entropy(outputs["logits"], labels, num_items_in_batch)


class Planned(BalancedTrainer, Trainer):
    """The mixin with the Trainer alone."""


class Drawing(Planned):
    """Draws some of the samples."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return SubsetRandomSampler(range(DRAWN))


class Dealing(Planned):
    """Has a sampler that deals to the replicas."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return DistributedSampler(self.train_dataset)


class OwnTrainer(Trainer):
    """Computes a mean by itself, whatever the model takes."""

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        outputs = model(**inputs)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]


class PlannedOwn(BalancedTrainer, OwnTrainer):
    """The mixin before a class with its own loss, which it does not know."""


class PlannedMean(PlannedOwn):
    """The same, said to be a mean."""

    loss_is_scaled_for_ga = False


class StopAfter(TrainerCallback):
    """Ends a training as a time limit does.

    Args:
        step: The last one.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step == self.step


def train(
    model: Means,
    folder: str = "",
    *,
    kind: type = Planned,
    stop: int = 0,
    resume: str = "",
    trainer_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, list[int]]:
    """Train with the Trainer, and evaluate after each epoch.

    Args:
        model: What returns the loss.
        folder: Where checkpoints go.
        kind: The class of the Trainer.
        stop: Step at which a checkpoint is saved and the training ends.
        resume: A checkpoint to go on from.
        trainer_options: In place of the plan.
        options: Of the Trainer's arguments.
    """
    if stop:
        options |= {"save_strategy": "steps", "save_steps": stop}
    settings = {
        "output_dir": folder or "unused",
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "num_train_epochs": problem.EPOCHS,
        "max_grad_norm": 0.0,
        "remove_unused_columns": False,
        "use_cpu": True,
        "seed": 5,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        **options,
    }
    optimizer = problem.optimizer_of(model.net)
    trainer = kind(
        model,
        TrainingArguments(**settings),
        train_dataset=problem.Samples(),
        eval_dataset=problem.Samples(10),
        optimizers=(optimizer, LambdaLR(optimizer, lambda _: 1.0)),
        callbacks=[StopAfter(stop)] if stop else [],
        **(trainer_options or {"plan": problem.SHARES}),
    )
    trainer.train(resume_from_checkpoint=resume or None)
    return problem.weights_of(model.net), model.seen


def _with_function(function: Any) -> dict[str, Any]:
    return {"plan": problem.SHARES, "compute_loss_func": function}


def trainings() -> dict[str, Any]:
    accumulated = {"gradient_accumulation_steps": 2}
    found = {
        "means": train(Means()),
        "sums": train(Sums()),
        "own_loss": train(Sums(), kind=PlannedMean),
        "own_loader": train(Means(), trainer_options={"loader": problem.loader()}),
        "workers": train(Means(), dataloader_num_workers=2),
        "means_accumulated": train(Means(), **accumulated),
        "sums_accumulated": train(Sums(), **accumulated),
        "mean_all_the_same": train(Ignoring()),
        "mean_function": train(Means(), trainer_options=_with_function(mean_of)),
        "sum_function": train(Means(), trainer_options=_with_function(sum_of), **accumulated),
        "segmented": train(Segmenting()),
        "in_order": train(Means(), train_sampling_strategy="sequential"),
        "drawn": train(Means(), kind=Drawing),
    }
    for mutant in problem.MUTANTS:
        with problem.mutated(mutant):
            found[mutant] = train(Means())
    return found


def resumed(folder: str) -> dict[str, Any]:
    """Return what is trained when a job goes on from a checkpoint, after each number of steps."""
    found = {}
    for steps in (3, problem.STEPS, problem.STEPS + 2):
        path = str(Path(folder, f"after-{steps}"))
        first = Means()
        train(first, path, stop=steps, dataloader_num_workers=2)
        second = Means()
        checkpoint = f"{path}/checkpoint-{steps}"
        weights, seen = train(second, path, resume=checkpoint, dataloader_num_workers=2)
        found[f"after_{steps}"] = (weights, first.seen + seen)
    return found


def refusals() -> dict[str, str]:
    """Return what is said where a loss would be weighted twice, or not at all."""

    def balanced(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> Any:
        loss = fixed_cross_entropy(outputs["logits"], labels, num_items_in_batch)
        return hetlib.balance(loss, count=len(labels))

    attempts = {
        "in_loss_func": lambda: train(Means(), trainer_options=_with_function(balanced)),
        "dealing_sampler": lambda: train(Means(), kind=Dealing),
        "own_items": lambda: train(Sums(), average_tokens_across_devices=False),
        "unclear": lambda: train(Sums(), kind=PlannedOwn),
        "filling": lambda: train(
            Sums(), trainer_options={"loader": problem.loader(empty="sample")}
        ),
        "no_plan": lambda: train(Means(), trainer_options={"loader": None}),
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except (ValueError, RuntimeError) as error:
            said[name] = str(error)
    return said


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job, which begins without a process group."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    job.rest_before_forks()
    found = {"trainings": trainings(), "resumed": resumed(folder), "refusals": refusals()}
    AcceleratorState._reset_state(reset_partial_state=True)
    found["script"] = problem.run_script("with_huggingface")["trainer"].state.global_step
    return found
