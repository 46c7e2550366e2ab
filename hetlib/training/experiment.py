"""What one run is: its settings, and the strategies that it can follow."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from hetlib.containers import anything, items, mapping
from hetlib.datasets.augment import AUGMENTATIONS
from hetlib.datasets.naming import check_dataset, data_name
from hetlib.datasets.objects import FUNCTIONS
from hetlib.inputs import flag, number, one_of, optional, whole
from hetlib.models.others import is_readers
from hetlib.models.registry import check_model
from hetlib.owncode import load_own, source_checksum
from hetlib.plain import plain
from hetlib.training.optimizers import OPTIMIZER_OPTIONS, check_optimizer, optimizers
from hetlib.training.strategies import STRATEGIES, learning_rate

# part of every run's fingerprint; raised when a change of the code changes what a run gives
RESULTS_VERSION = 1

SCHEDULES = ("onecycle", "cosine", "constant")
DTYPES = ("float32", "float64")
EVALUATE_SPLITS = ("test", "validation")

# Fields that are whole numbers, and the least that each may be.
LEAST = {"global_batch": 1, "epochs": 1, "evaluate_every": 0, "seed": 0}


@dataclass(frozen=True, eq=False)
class Experiment:
    """Settings of one training run, checked on construction.

    Sequences become tuples and numpy's numbers Python's; else fields keep what was given, so
    ``dataclasses.replace`` changes what it names and nothing else. Two experiments are equal when
    they ask for the same run.

    Attributes:
        dataset: Name in `hetlib.datasets.DATASETS`; "folder" for class folders and "scene" for a
            raster with labels of one's own, see `dataset_options`; or ``module:callable``, which
            gives an object with a length and labelled images.
        model: Name in `hetlib.models.MODELS`; of torchvision, such as "resnet50"; "timm:NAME"; or
            ``module:callable``, which gives a ``torch.nn.Module``.
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
        plans: ``(step, shares from there on)``: replays a record's `plans`, without `rebalance`.
        drift: ``(step, emulated slow-down of each replica from there on)``.
        evaluate_every: Epochs between evaluations; 0: once, at the end.
        evaluate_split: "test" or "validation".
        dataset_options: E.g. ``{"per_class": 200}``; of "folder" ``{"root": "mine"}``, of "scene"
            ``{"image": "mine.tif", "labels": "mine_labels.tif"}``.
        model_options: E.g. ``{"norm": "batch"}``.
        augment: None, "flips" or "flips-rotations": training images at random, the same for a
            sample and epoch on whichever replica.
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
    augment: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        self._check_names()
        self._check_numbers()
        self._check_sequences()
        self._check_shares()
        self._check_options()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_names(self) -> None:
        allowed: dict[str, Collection[object]] = {
            "strategy": STRATEGIES,
            "schedule": SCHEDULES,
            "optimizer": optimizers(),
            "dtype": DTYPES,
            "evaluate_split": EVALUATE_SPLITS,
            "augment": AUGMENTATIONS,
        }
        for name, values in allowed.items():
            one_of(name, getattr(self, name), values)
        self._set("rebalance", flag("rebalance", self.rebalance))

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            self._set(name, whole(name, getattr(self, name), low=least))
        self._set("max_steps", optional(whole, "max_steps", self.max_steps, low=1))
        self._set("lr", number("lr", self.lr, above=0))

    def _check_sequences(self) -> None:
        """Make tuples of what JSON and YAML read back as lists."""
        if self.shares is not None:
            self._set("shares", items("shares", self.shares, _as_given))
        self._set("plans", items("plans", self.plans, _shares_from))
        self._set("drift", items("drift", self.drift, _factors_from))

    def _check_options(self) -> None:
        """Check options against the signature of what they are for; nothing is opened or built."""
        for name in ("dataset_options", "model_options"):
            self._set(name, _plain(mapping(name, getattr(self, name))))
        check_dataset(self.dataset, self.dataset_options)
        check_model(self.model, self.model_options)
        if self.optimizer_options is not None:
            options = _plain(mapping("optimizer_options", self.optimizer_options))
            self._set("optimizer_options", options)
            check_optimizer(self.optimizer, options)

    def _check_shares(self) -> None:
        if (self.rebalance or self.plans) and not STRATEGIES[self.strategy].planned:
            raise ValueError(
                f"`strategy` is {self.strategy!r}; "
                "`rebalance` and `plans` need one with shares by speed."
            )
        if self.rebalance and self.plans:
            raise ValueError(
                f"`rebalance` is True beside {len(self.plans)} `plans`; allowed is one of them: "
                "shares follow the speeds, or the plans of a run that did."
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

    @property
    def data_name(self) -> str:
        """What the data are called: their folder's, file's or callable's name, or `dataset`."""
        return data_name(self.dataset, self.dataset_options)

    @property
    def model_name(self) -> str:
        """What the network is called: the callable's name, or `model`."""
        if is_readers(self.model):
            return self.model.partition(":")[2]
        return self.model

    def code(self) -> dict[str, str]:
        """Return which code of the reader's own decides the run.

        Returns:
            The SHA-256 of the source of each ``module:callable``; empty where there is none.
        """
        named: dict[str, Any] = {"dataset": self.dataset, "model": self.model}
        for key in FUNCTIONS:
            named[key] = self.dataset_options.get(key)
        found = {}
        for role, name in named.items():
            if is_readers(name):
                load_own(role, str(name))
                found[str(name)] = source_checksum(str(name))
        return found

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
            All fields, with the optimizer's options as they are used; `augment` where there is one.
        """
        fields = dataclasses.asdict(self)
        fields["optimizer_options"] = self.used_optimizer_options
        if self.augment is None:
            del fields["augment"]  # records from before there was the field keep their names
        return json.loads(json.dumps(fields, default=str))


def _as_given(_: str, value: object) -> Any:
    return plain(value)


def _steps_from(name: str, value: object) -> tuple[int, Any]:
    """Take a pair of a step and of values for the replicas."""
    step, values = items(name, value, anything, count=2)
    return whole(f"{name}[0]", step, low=0), values


def _shares_from(name: str, value: object) -> tuple[int, tuple[int, ...]]:
    step, values = _steps_from(name, value)
    return step, items(f"{name}[1]", values, _as_given)


def _factors_from(name: str, value: object) -> tuple[int, tuple[float, ...]]:
    step, values = _steps_from(name, value)
    return step, items(f"{name}[1]", values, _as_given)


def _plain(value: Any) -> Any:
    """Return options with numbers of numpy as Python's own, in sequences and mappings, too."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    return plain(value)


def _check_sum(shares: tuple[int, ...], global_batch: int) -> None:
    counts = all(isinstance(n, int) and n >= 0 for n in shares)
    if not counts or sum(shares) != global_batch:
        raise ValueError(f"`shares` is {shares}; allowed: whole numbers >= 0, sum {global_batch}.")


def check_accumulation(experiment: Experiment, depends: bool) -> None:
    """Refuse shares in several passes where those do not add up to what one pass gives.

    Statistics over a local batch are those of a part of it then, and a rebalancer's models are of
    one pass.

    Args:
        experiment: Of which some share is taken in several passes.
        depends: Whether the network's outputs for a sample depend on the samples beside it.

    Raises:
        ValueError: The network normalises over the batch, or ``rebalance`` is set.
    """
    if depends or experiment.rebalance:
        norm = experiment.norm
        if norm is None and depends:
            norm = "batch"
        raise ValueError(
            f"`norm` is {norm!r} and `rebalance` {experiment.rebalance}; "
            "allowed: 'group', or none, and False, "
            "where a share exceeds `max_batch`, and with `accumulate`."
        )
