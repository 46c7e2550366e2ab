"""What one run is: its settings, and the strategies that it can follow."""

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from hetlib.errors import at_least, one_of
from hetlib.models.registry import BATCH, MODELS
from hetlib.training.strategies import STRATEGIES, learning_rate

Number = TypeVar("Number", int, float)

# part of every run's fingerprint; raised when a change of the code changes what a run gives
RESULTS_VERSION = 1

SCHEDULES = ("onecycle", "cosine", "constant")
DTYPES = ("float32", "float64")
EVALUATE_SPLITS = ("test", "validation")

# Where `optimizer_options` is None; for other optimizers torch's own defaults.
OPTIMIZER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 5e-4},
}

# Fields that are whole numbers, and the least that each may be.
LEAST = {"global_batch": 1, "epochs": 1, "evaluate_every": 0, "seed": 0}


@dataclass(frozen=True, eq=False)
class Experiment:
    """Settings of one training run, checked on construction.

    Sequences become tuples; else fields keep what was given, so ``dataclasses.replace`` changes
    what it names and nothing else. Two experiments are equal when they ask for the same run.

    Attributes:
        dataset: Name for `hetlib.datasets.load_dataset`.
        model: Name in `hetlib.models.MODELS`.
        strategy: Name in `STRATEGIES`.
        global_batch: Samples a step over all replicas.
        shares: Local batches of strategies by speed; None: measured, or nominal if virtual.
        epochs: Passes over the training split.
        max_steps: Stop after so many steps.
        optimizer: Name in ``torch.optim``.
        lr: Peak learning rate, for the whole global batch.
        optimizer_options: None: for SGD momentum 0.9 and weight decay 5e-4.
        schedule: "onecycle", "cosine" or "constant"; a step at a time.
        seed: Of weights and sample order.
        dtype: "float32" or "float64".
        rebalance: Whether shares by speed follow the speeds seen while it runs (processes alone).
        plans: ``(step, shares from there on)``: replays a record's `plans`.
        drift: ``(step, emulated slow-down of each replica from there on)``.
        evaluate_every: Epochs between evaluations; 0: once, at the end.
        evaluate_split: "test" or "validation".
        dataset_options: E.g. ``{"per_class": 200}``.
        model_options: E.g. ``{"norm": "batch"}``.
    """

    dataset: str = "brandenburg"
    model: str = "smallcnn"
    strategy: str = "balanced"
    global_batch: int = 128
    shares: tuple[int, ...] | None = None
    epochs: int = 5
    max_steps: int | None = None
    optimizer: str = "SGD"
    lr: float = 0.1
    optimizer_options: Mapping[str, Any] | None = None
    schedule: str = "onecycle"
    seed: int = 0
    dtype: str = "float32"
    rebalance: bool = False
    plans: tuple[tuple[int, tuple[int, ...]], ...] = ()
    drift: tuple[tuple[int, tuple[float, ...]], ...] = ()
    evaluate_every: int = 1
    evaluate_split: str = "test"
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    model_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check_names()
        self._check_numbers()
        self._as_tuples()
        self._check_shares()

    def _check_names(self) -> None:
        allowed: dict[str, Collection[object]] = {
            "model": MODELS,
            "strategy": STRATEGIES,
            "schedule": SCHEDULES,
            "optimizer": optimizers(),
            "dtype": DTYPES,
            "evaluate_split": EVALUATE_SPLITS,
        }
        for name, values in allowed.items():
            one_of(name, getattr(self, name), values)

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            at_least(name, getattr(self, name), least)
        if self.max_steps is not None:
            at_least("max_steps", self.max_steps, 1)
        if not (isinstance(self.lr, (int, float)) and 0 < self.lr < math.inf):
            raise ValueError(f"`lr` is {self.lr!r}; it must be a finite number > 0.")

    def _as_tuples(self) -> None:
        """Make tuples of what JSON and YAML read back as lists."""
        if self.shares is not None:
            object.__setattr__(self, "shares", tuple(self.shares))
        object.__setattr__(self, "plans", _as_steps(self.plans))
        object.__setattr__(self, "drift", _as_steps(self.drift))

    def _check_shares(self) -> None:
        if (self.rebalance or self.plans) and not STRATEGIES[self.strategy].planned:
            raise ValueError(
                f"`strategy` is {self.strategy!r}; "
                "`rebalance` and `plans` need one with shares by speed."
            )
        if self.shares is not None:
            _check_sum(self.shares, self.global_batch)
        for _, shares in self.plans:
            _check_sum(shares, self.global_batch)

    def __eq__(self, other: object) -> bool:
        """Say whether both ask for the same run."""
        if not isinstance(other, Experiment):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    # options are mappings, which have no hash either
    __hash__ = None  # type: ignore[assignment]

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch has it."""
        return getattr(torch, self.dtype)

    @property
    def norm(self) -> str | None:
        """The normalisation asked for; None: the network's default."""
        return self.model_options.get("norm")

    @property
    def used_optimizer_options(self) -> dict[str, Any]:
        """`optimizer_options`, or where they are None the defaults for this optimizer."""
        if self.optimizer_options is not None:
            return dict(self.optimizer_options)
        return dict(OPTIMIZER_OPTIONS.get(self.optimizer, {}))

    def peak_rate(self, shares: Sequence[int]) -> float:
        """Return the peak learning rate used.

        Args:
            shares: Local batches of the replicas that take part.

        Returns:
            `lr`, or for a retuned strategy what its effective batch makes of it.
        """
        return learning_rate(
            strategy=self.strategy,
            optimizer=self.optimizer,
            lr=self.lr,
            global_batch=self.global_batch,
            shares=shares,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; ``Experiment(**values)`` reads them back.

        Returns:
            All fields, with the optimizer's options as they are used.
        """
        fields = dataclasses.asdict(self)
        fields["optimizer_options"] = self.used_optimizer_options
        return json.loads(json.dumps(fields, default=str))


def optimizers() -> list[str]:
    """Return the names of torch's optimizers."""
    names = [name for name in dir(torch.optim) if name[0].isupper()]
    names.remove("Optimizer")  # the base of all
    return names


def _as_steps(
    entries: Iterable[tuple[int, Sequence[Number]]],
) -> tuple[tuple[int, tuple[Number, ...]], ...]:
    return tuple((int(step), tuple(values)) for step, values in entries)


def _check_sum(shares: tuple[int, ...], global_batch: int) -> None:
    counts = all(isinstance(n, int) and n >= 0 for n in shares)
    if not counts or sum(shares) != global_batch:
        raise ValueError(f"`shares` is {shares}; allowed: whole numbers >= 0, sum {global_batch}.")


def check_accumulation(experiment: Experiment) -> None:
    """Refuse shares in several passes where those do not add up to what one pass gives.

    Statistics over a local batch are those of a part of it then, and a rebalancer's models are of
    one pass.

    Args:
        experiment: Of which some share is taken in several passes.

    Raises:
        ValueError: The network normalises over the batch, or ``rebalance`` is set.
    """
    norm = experiment.norm or next(iter(MODELS[experiment.model]), None)
    if norm in BATCH or experiment.rebalance:
        raise ValueError(
            f"`norm` is {norm!r} and `rebalance` {experiment.rebalance}; "
            "allowed: 'group', or none, and False, "
            "where a share exceeds `max_batch`, and with `accumulate`."
        )
