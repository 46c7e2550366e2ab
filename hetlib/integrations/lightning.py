"""Balanced gradients in Lightning's Trainer, by one callback.

    trainer = Trainer(..., callbacks=[Balanced()], use_distributed_sampler=False)
    trainer.fit(task, BalancedLoader(train_set, plan))

The task stays as it is: ``training_step`` returns the mean over this replica's samples. The
callback weights each loss at the root of its backward pass, after the Trainer divided it for
accumulation and scaled it for half precision.

A loss that is a mean over something else than samples says what, such as the valid pixels of a
segmentation: ``Balanced(count=lambda batch: (batch["mask"] != 255).sum())``.

What is logged with ``sync_dist=True`` is the plain mean of the replicas' means. One over all
samples is a ``torchmetrics.MeanMetric``, updated with ``weight=len(batch)``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch

from hetlib.balanced.counting import AnnouncedCount, announce
from hetlib.balanced.loader import BalancedLoader
from hetlib.balanced.loss import balance, balanced_loader
from hetlib.errors import require, wrong

require("lightning", "lightning")

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402 -- said above
from lightning.pytorch.callbacks import LearningRateFinder  # noqa: E402

# What a batch's loss is the mean over, on this replica.
CountOf: TypeAlias = Callable[[Any], float | torch.Tensor]


class Balanced(Callback):
    """Balance every loss of a Trainer, and keep its loader in the right epoch.

    Args:
        loader: The `BalancedLoader` of the training; ``None`` finds it among the Trainer's.
        count: Called with each batch of this replica, returns what its loss is the mean over (valid
            pixels, a sum of class weights); the replicas sum it while the forward pass runs.
            ``None``: its samples.

    Raises:
        TypeError: ``loader`` is no `BalancedLoader`.
        ValueError: ``count`` cannot be called.
    """

    def __init__(self, loader: Any | None = None, *, count: CountOf | None = None) -> None:
        super().__init__()
        if count is not None and not callable(count):
            raise wrong("count", count, "a function of a batch")
        self._count = count
        # of the present batch, until its first loss has moved the loader's position
        self._announced: AnnouncedCount | None = None
        self._is_first = True
        self._given = None
        if loader is not None:
            self._given = balanced_loader(loader)
        self._loader = self._given
        self._loaded: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what would put another loader in the place of ours, or train without callbacks.

        Raises:
            ValueError: The Trainer is about to do so; the message says why.
        """
        if stage != "fit":
            return
        _refuse_finder(trainer)
        overfit = getattr(trainer, "overfit_batches", 0)
        if overfit:
            raise ValueError(
                f"`overfit_batches` is {overfit}, for which Lightning makes the "
                "loader anew, without shares; use `limit_train_batches`."
            )
        connector = getattr(trainer, "_accelerator_connector", None)
        replaces = getattr(connector, "use_distributed_sampler", False)
        if replaces and trainer.world_size > 1:
            raise ValueError(
                "`use_distributed_sampler` is True, with which Lightning makes the loader anew and "
                "deals equal shares; use Trainer(use_distributed_sampler=False)."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on from the state of a checkpoint, or begin the Trainer's epoch.

        Lightning loads the state of a loader too, but not from a checkpoint at an epoch's end.
        """
        loader = self._find(trainer)
        if self._loaded is None:
            loader.set_epoch(trainer.current_epoch)
        else:
            loader.load_state_dict(self._loaded)
            self._loaded = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the loader the epoch; it may be a new one, reloaded for this epoch."""
        loader = self._find(trainer)
        # beside a longer loader it has begun further epochs by itself
        if loader.state_dict()["epoch"] < trainer.current_epoch:
            loader.set_epoch(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to sum what the losses of a batch are means over, where samples do not say it."""
        if self._count is not None:
            # one sample in place of none counts nothing
            filled = self._loader is not None and self._loader.has_filler
            self._announced = announce(0 if filled else self._count(batch))
            self._is_first = True

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        """Weight a loss by the samples of the batch that was handed out last, or by its count."""
        if self._count is None:
            balance(loss, self._loader)
            return
        # further losses of the batch move no position
        balance(loss, self._loader if self._is_first else None, count=self._announced)
        self._is_first = False

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the loader."""
        if self._loader is None:
            return {}
        return {"loader": self._loader.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Keep a state until there is a loader to load it.

        Args:
            state_dict: What `state_dict` returned.
        """
        self._loaded = state_dict.get("loader")

    def _find(self, trainer: Trainer) -> BalancedLoader:
        """Return the Trainer's balanced loader, and remember it.

        Raises:
            TypeError: There is none, or not the one that was given.
            ValueError: There are several, and none was given.
        """
        used = list(_loaders_in(trainer.train_dataloader))
        ours = [loader for loader in used if isinstance(loader, BalancedLoader)]
        if self._given is not None:
            ours = [loader for loader in ours if loader is self._given]
        if not ours:
            names = sorted({type(loader).__name__ for loader in used})
            wanted = "a BalancedLoader" if self._given is None else "the `loader` of this callback"
            raise TypeError(
                f"the Trainer trains with {', '.join(names)}, but not with {wanted}; pass it to "
                "`fit`, or return it from `train_dataloader`."
            )
        if len(ours) > 1:
            raise ValueError(
                f"the Trainer has {len(ours)} balanced loaders; say which one deals the samples "
                "that the loss is the mean over: Balanced(loader)."
            )
        self._loader = ours[0]
        return self._loader


def _refuse_finder(trainer: Trainer) -> None:
    """Refuse a search that trains without the other callbacks: its steps would not be balanced.

    Raises:
        ValueError: There is one, also one that a ``Tuner`` has added.
    """
    callbacks = getattr(trainer, "callbacks", [])
    searches = any(isinstance(callback, LearningRateFinder) for callback in callbacks)
    if searches and trainer.world_size > 1:
        raise ValueError(
            "LearningRateFinder takes the other callbacks away while it searches, so that its "
            "steps are not balanced, and it looks at the losses of rank 0 alone; search in one "
            "process with a loader of the global batch, and give the Trainer what was found."
        )


def _loaders_in(loaders: Any) -> Iterator[Any]:
    """Yield the loaders in what a Trainer trains with: one, or lists and mappings of them."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple):
        for loader in loaders:
            yield from _loaders_in(loader)
    else:
        yield loaders
