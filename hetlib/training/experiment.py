"""What one run is: its settings, and the strategies that it can follow."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from hetlib.models.registry import BATCH, MODELS
from hetlib.training.strategies import STRATEGIES

# part of every run's fingerprint; raised when a change of the code changes what a run gives
RESULTS_VERSION = 1


SCHEDULES = ("onecycle", "cosine", "constant")


@dataclass(frozen=True)
class Experiment:
    """Settings of one training run, checked on construction."""

    dataset: str = "brandenburg"  # name for `hetlib.datasets.load_dataset`
    model: str = "smallcnn"  # name in `hetlib.models.MODELS`
    strategy: str = "balanced"  # name in `STRATEGIES`
    global_batch: int = 128  # samples a step over all replicas
    # local batches of strategies by speed; None: measured, or nominal if virtual
    shares: tuple[int, ...] | None = None
    epochs: int = 5  # passes over the training split
    max_steps: int | None = None  # stop after so many steps
    optimizer: str = "SGD"  # name in torch.optim
    lr: float = 0.1  # peak learning rate, for the whole global batch
    # None: for SGD momentum 0.9 and weight decay 5e-4
    optimizer_options: Mapping[str, Any] | None = None
    schedule: str = "onecycle"  # or "cosine", "constant"; a step at a time
    seed: int = 0  # of weights and sample order
    dtype: str = "float32"  # or "float64"
    # whether shares by speed follow the speeds seen while it runs (processes alone)
    rebalance: bool = False
    # (step, shares from there on): replays a record's `plans`
    plans: tuple[tuple[int, tuple[int, ...]], ...] = ()
    # (step, emulated slow-down of each replica from there on)
    drift: tuple[tuple[int, tuple[float, ...]], ...] = ()
    evaluate_every: int = 1  # epochs between evaluations; 0: once, at the end
    evaluate_split: str = "test"  # or "validation"
    dataset_options: Mapping[str, Any] = field(default_factory=dict)  # e.g. {"per_class": 200}
    model_options: Mapping[str, Any] = field(default_factory=dict)  # e.g. {"norm": "batch"}

    def __post_init__(self) -> None:
        optimizers = [n for n in dir(torch.optim) if n[0].isupper() and n != "Optimizer"]
        names = {
            "model": MODELS,
            "strategy": STRATEGIES,
            "schedule": SCHEDULES,
            "optimizer": optimizers,
        }
        names |= {"dtype": ("float32", "float64"), "evaluate_split": ("test", "validation")}
        for argument, allowed in names.items():
            if getattr(self, argument) not in allowed:
                raise ValueError(
                    f"`{argument}` is {getattr(self, argument)!r}; allowed are {list(allowed)}."
                )
        for argument, least in {
            "global_batch": 1,
            "epochs": 1,
            "evaluate_every": 0,
            "seed": 0,
            "max_steps": 1,
        }.items():
            value = (
                least
                if argument == "max_steps" and self.max_steps is None
                else getattr(self, argument)
            )
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"`{argument}` is {value!r}; it must be a whole number >= {least}."
                )
        if not (isinstance(self.lr, (int, float)) and 0 < self.lr < math.inf):
            raise ValueError(f"`lr` is {self.lr!r}; it must be a finite number > 0.")
        for name in ("plans", "drift"):  # read back from JSON they are lists
            object.__setattr__(
                self,
                name,
                tuple((int(step), tuple(values)) for step, values in getattr(self, name)),
            )
        if (self.rebalance or self.plans) and STRATEGIES[self.strategy].shares != "speed":
            raise ValueError(
                f"`strategy` is {self.strategy!r}; `rebalance` and `plans` need one with shares by speed."
            )
        for shares in (() if self.shares is None else (tuple(self.shares),)) + tuple(
            plan for _, plan in self.plans
        ):
            if (
                not all(isinstance(n, int) and n >= 0 for n in shares)
                or sum(shares) != self.global_batch
            ):
                raise ValueError(
                    f"`shares` is {shares}; allowed: whole numbers >= 0, sum {self.global_batch}."
                )
        object.__setattr__(self, "shares", self.shares and tuple(self.shares))
        if self.optimizer_options is None:
            defaults = {"momentum": 0.9, "weight_decay": 5e-4} if self.optimizer == "SGD" else {}
            object.__setattr__(self, "optimizer_options", defaults)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``Experiment(**values)`` reads them back."""
        return json.loads(json.dumps(dataclasses.asdict(self), default=str))


def check_accumulation(experiment: Experiment) -> None:
    """Raise ``ValueError`` where a share that is taken in several passes would not add up to what one pass gives."""
    norm = experiment.model_options.get("norm") or next(iter(MODELS[experiment.model]), None)
    if norm in BATCH or experiment.rebalance:
        got = f"`norm` is {norm!r} and `rebalance` {experiment.rebalance}; allowed: 'group', or none, and False"
        raise ValueError(f"{got}, where a share exceeds `max_batch`, and with `accumulate`.")
