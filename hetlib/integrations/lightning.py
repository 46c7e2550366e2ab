"""Balanced gradients in Lightning's Trainer, by one callback.

    trainer = Trainer(..., callbacks=[Balanced()], use_distributed_sampler=False)
    trainer.fit(task, BalancedLoader(train_set, plan))

The task stays as it is: ``training_step`` returns the mean over this replica's samples. The
callback weights each loss at the root of its backward pass, after the Trainer divided it for
accumulation and scaled it for half precision.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from hetlib.balanced.loader import BalancedLoader
from hetlib.balanced.loss import balance, balanced_loader
from hetlib.errors import require

require("lightning", "lightning")

from lightning.pytorch import Callback, LightningModule, Trainer  # noqa: E402 -- said above


class Balanced(Callback):
    """Balance every loss of a Trainer, and keep its loader in the right epoch.

    Args:
        loader: The `BalancedLoader` of the training; ``None`` finds it among the Trainer's.
    """

    def __init__(self, loader: Any | None = None) -> None:
        super().__init__()
        self._given = None
        if loader is not None:
            self._given = balanced_loader(loader)
        self._loader = self._given
        self._loaded: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what would put another loader in the place of ours.

        Raises:
            ValueError: The Trainer is about to make the loader anew; the message says why.
        """
        if stage != "fit":
            return
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
        """Go on from the state of a checkpoint.

        Lightning loads the state of a loader too, but not from a checkpoint at an epoch's end.
        """
        loader = self._find(trainer)
        if self._loaded is not None:
            loader.load_state_dict(self._loaded)
            self._loaded = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the loader the epoch; it may be a new one, reloaded for this epoch."""
        self._find(trainer).set_epoch(trainer.current_epoch)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor
    ) -> None:
        """Weight a loss by the samples of the batch that was handed out last."""
        balance(loss, self._loader)

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


def _loaders_in(loaders: Any) -> Iterator[Any]:
    """Yield the loaders in what a Trainer trains with: one, or lists and mappings of them."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple):
        for loader in loaders:
            yield from _loaders_in(loader)
    else:
        yield loaders
