"""Trainings with Lightning that processes of a job run."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint
from lightning.pytorch.tuner import Tuner
from torch.utils.data import DataLoader

import hetlib
from hetlib.integrations.lightning import Balanced
from tests.integrations import problem

ONE_LEFT = 65  # samples, of which an epoch's last batch has one, for one of the replicas

QUIET = {
    "accelerator": "cpu",
    "strategy": "ddp",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "use_distributed_sampler": False,
    "max_epochs": problem.EPOCHS,
    "num_sanity_val_steps": 1,
}


class Task(pl.LightningModule):
    """The problem as a task that notes the samples that it saw."""

    def __init__(self, *, manual: bool = False, balance_with: Any = None) -> None:
        super().__init__()
        self.automatic_optimization = not manual
        self.net = problem.network()
        self.seen: list[int] = []
        self.balance_with = balance_with

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        self.seen += batch["number"].tolist()
        loss = problem.loss_of(self.net, batch)
        if self.balance_with is not None:
            hetlib.balance(loss, self.balance_with)
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        self.log("score", problem.loss_of(self.net, batch), batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return problem.optimizer_of(self.net)


class Labelled(Task):
    """A task whose loss is a mean over the samples that have a label, passed back in two parts."""

    def __init__(self) -> None:
        super().__init__(manual=True)

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        self.seen += batch["number"].tolist()
        optimizer = self.optimizers()
        optimizer.zero_grad()
        for part in (0.25, 0.75):
            self.manual_backward(part * problem.labelled_loss(self.net, batch))
        optimizer.step()


class Beside(Task):
    """A task whose batches come beside those of another loader."""

    def training_step(self, batch: list[Any], index: int) -> torch.Tensor:
        return super().training_step(batch[0], index)


class DataModule(pl.LightningDataModule):
    """Makes the loader anew each time that it is asked."""

    def train_dataloader(self) -> Any:
        return problem.loader()

    def val_dataloader(self) -> Any:
        return _validation()


def _validation() -> Any:
    return DataLoader(problem.Samples(10), batch_size=4)


def _trainer(**options: Any) -> pl.Trainer:
    options = {**QUIET, "callbacks": [Balanced()], **options}
    devices = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 2
    return pl.Trainer(devices=devices, **options)


def _fit(task: Task, data: Any = None, *, ckpt: str | None = None, **options: Any) -> None:
    trainer = _trainer(**options)
    if isinstance(data, pl.LightningDataModule):
        trainer.fit(task, datamodule=data, ckpt_path=ckpt)
    else:
        trainer.fit(task, data or problem.loader(), _validation(), ckpt_path=ckpt)


def trainings() -> dict[str, Any]:
    """Return what each way to train ends with: the weights, and the samples seen."""
    found = {}
    ways = {
        "plain": {},
        "workers": {"data": {"num_workers": 2}},
        "manual": {"task": {"manual": True}},
        "accumulated": {"trainer": {"accumulate_grad_batches": 2}},
        "limited": {"trainer": {"limit_train_batches": 3}},
        "often_validated": {"trainer": {"val_check_interval": 2}},
    }
    for name, way in ways.items():
        task = Task(**way.get("task", {}))
        _fit(task, problem.loader(**way.get("data", {})), **way.get("trainer", {}))
        found[name] = (problem.weights_of(task), task.seen)

    task = Task()
    _fit(task, DataModule(), reload_dataloaders_every_n_epochs=1)
    found["reloaded"] = (problem.weights_of(task), task.seen)
    task = Beside()
    longer = DataLoader(problem.Samples(2 * problem.STEPS + 1), batch_size=1)
    _fit(task, [problem.loader(), longer], max_steps=3 * problem.STEPS)
    found["beside_a_longer"] = (problem.weights_of(task), task.seen)
    task = Labelled()
    _fit(task, problem.loader(num_workers=1), callbacks=[Balanced(count=problem.labelled)])
    found["counted"] = (problem.weights_of(task), task.seen)
    task = Labelled()
    filled = hetlib.BalancedLoader(
        problem.Samples(ONE_LEFT), problem.SHARES, seed=5, empty="sample"
    )
    _fit(task, filled, callbacks=[Balanced(count=problem.labelled)])
    found["filled"] = (problem.weights_of(task), task.seen)
    for mutant in problem.MUTANTS:
        task = Task()
        with problem.mutated(mutant):
            _fit(task)
        found[mutant] = (problem.weights_of(task), task.seen)
    return found


def resumed(folder: str) -> dict[str, Any]:
    """Return what is trained when a job goes on from a checkpoint, after each number of steps."""
    found = {}
    for steps in (3, problem.STEPS, problem.STEPS + 2):
        path = str(Path(folder, f"at-{steps}"))
        first = Task()
        _fit(
            first,
            problem.loader(num_workers=2),
            max_steps=steps,
            enable_checkpointing=True,
            callbacks=[
                Balanced(),
                ModelCheckpoint(path, save_last=True, every_n_train_steps=steps),
            ],
        )
        second = Task()
        _fit(second, problem.loader(num_workers=2), ckpt=f"{path}/last.ckpt")
        found[f"after_{steps}"] = (problem.weights_of(second), first.seen + second.seen)
    return found


def replanned(folder: str) -> Any:
    """Return the shares that a training goes on with, whose plan changed before an epoch's end."""
    path = str(Path(folder, "replanned"))
    loader = problem.loader()
    loader.replan((8, 8), step=7)
    _fit(
        Task(),
        loader,
        max_epochs=1,
        enable_checkpointing=True,
        callbacks=[Balanced(), ModelCheckpoint(path, save_last=True)],
    )
    loader = problem.loader()
    _fit(Task(), loader, ckpt=f"{path}/last.ckpt")
    return loader.state_dict()["plans"]


def refusals() -> dict[str, str]:
    """Return what is said where the callback cannot do its work."""
    loader = problem.loader()
    attempts = {
        "replaced": lambda: _fit(Task(), loader, use_distributed_sampler=True),
        "overfit": lambda: _fit(Task(), loader, overfit_batches=2),
        "not_ours": lambda: _fit(Task(), DataLoader(problem.Samples(), batch_size=8)),
        "another": lambda: _fit(Task(), loader, callbacks=[Balanced(problem.loader())]),
        "several": lambda: _fit(Task(), {"a": loader, "b": problem.loader()}),
        "twice": lambda: _fit(Task(balance_with=loader), loader, accumulate_grad_batches=2),
        "no_count": lambda: Balanced(count=len(loader)),
        "rate_finder": lambda: _fit(Task(), loader, callbacks=[LearningRateFinder(), Balanced()]),
        "tuner": lambda: Tuner(_trainer()).lr_find(Task(), loader, _validation()),
    }
    said = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except (ValueError, TypeError, RuntimeError) as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job, which begins without a process group."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    return {
        "trainings": trainings(),
        "resumed": resumed(folder),
        "plans": replanned(folder),
        "refusals": refusals(),
        "script": len(problem.run_script("with_lightning")),
    }
