"""Balanced gradients in Hugging Face's Trainer, by a mixin.

    class PlannedTrainer(BalancedTrainer, Trainer):
        pass

    trainer = PlannedTrainer(model, args, train_dataset=data, plan=plan)
    trainer.train()

Where the sum of a loss is divided by the items of all replicas (models and functions that use
``num_items_in_batch``), the Trainer's gradient is the balanced one, and is left alone. Elsewhere
the loss is a mean over what this replica has, and is weighted by the count of it: the Trainer reads
batches ahead, so the counts of the batch handed out last may be another's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import RandomSampler, SequentialSampler

from hetlib.balanced.graph import is_marked
from hetlib.balanced.loader import BalancedLoader
from hetlib.balanced.loss import balance, balanced_loader
from hetlib.balanced.shares import HasShares, shares_of
from hetlib.balanced.watching import note_balanced
from hetlib.errors import require
from hetlib.randomness import random_states_kept

require("transformers", "transformers")

from transformers import Trainer  # noqa: E402 -- said above

# What torch's losses, and the Trainer, leave out, unless a model's settings say another label.
IGNORED = -100

# What a loader takes over from the one that the Trainer makes; the latter where it has workers.
_OPTIONS = ("num_workers", "pin_memory", "worker_init_fn")
_OF_WORKERS = ("prefetch_factor", "persistent_workers", "multiprocessing_context")


class BalancedTrainer:
    """Mixin for a Trainer: ``class Planned(BalancedTrainer, Trainer)``.

    Args:
        arguments: Those of the Trainer.
        plan: A `Partition`, or the local batch of each replica; ``per_device_train_batch_size`` is
            not used.
        loader: In place of a plan, a `BalancedLoader`.
        options: Those of the Trainer.

    Raises:
        ValueError: Not one of ``plan`` and ``loader`` is given, or no plan.
        TypeError: ``loader`` is no `BalancedLoader`.
    """

    def __init__(
        self,
        *arguments: Any,
        plan: HasShares | Sequence[int] | None = None,
        loader: BalancedLoader | None = None,
        **options: Any,
    ) -> None:
        if (plan is None) == (loader is None):
            raise ValueError("give one of `plan` and `loader`, which deal the training's samples.")
        if plan is not None:
            shares_of(plan)
        else:
            loader = balanced_loader(loader)
        super().__init__(*arguments, **options)
        self._plan = plan
        self._loader = loader
        # whether the loss is divided by the items of all replicas; found out in the first step
        self._found_to_use_items: bool | None = None

    def get_train_dataloader(self) -> BalancedLoader:
        """Return the loader, or make one of the plan with the Trainer's settings."""
        if self._plan is None:
            assert self._loader is not None
            return self._loader
        # the Trainer's own has the data set, what merges samples, and the options of its workers
        parent: Any = super()
        made = parent.get_train_dataloader()
        args = self._args()
        names = _OPTIONS + _OF_WORKERS if made.num_workers else _OPTIONS
        self._loader = BalancedLoader(
            made.dataset,
            self._plan,
            seed=args.seed if args.data_seed is None else args.data_seed,
            drop_last=args.dataloader_drop_last,
            collate_fn=made.collate_fn,
            **self._order_of(made.dataset),
            **{name: getattr(made, name) for name in names},
        )
        return self._loader

    def _order_of(self, dataset: Any) -> dict[str, Any]:
        """Return the loader's options for the order that the Trainer's sampler gives.

        Raises:
            ValueError: The sampler deals to the replicas itself.
        """
        trainer: Any = self
        sampler = trainer._get_train_sampler(dataset)
        if sampler is None or type(sampler) is RandomSampler:
            # an order of our own, of the same kind
            return {}
        if type(sampler) is SequentialSampler:
            return {"shuffle": False}
        if hasattr(sampler, "rank"):
            raise ValueError(
                f"the Trainer's sampler is a {type(sampler).__name__}, which deals to the replicas "
                "itself (`train_sampling_strategy`); choose one that draws for all of them."
            )
        return {"sampler": sampler}

    def count_items(self, inputs: Mapping[str, Any]) -> int | torch.Tensor:
        """Return what this replica's loss is the mean over; override it for another mean.

        Args:
            inputs: A batch: labels that are not ignored are counted, without labels samples.
        """
        trainer: Any = self
        config = getattr(trainer.model, "config", None)
        # of the library's models for segmentation, often 255
        ignored = getattr(config, "semantic_loss_ignore_index", IGNORED)
        for name in getattr(self, "label_names", ["labels"]):
            labels = inputs.get(name)
            if isinstance(labels, torch.Tensor):
                if getattr(self, "_loss_shifts_labels", False):
                    labels = labels[..., 1:]
                return labels.ne(ignored).sum()
        for value in inputs.values():
            if isinstance(value, torch.Tensor) and value.ndim:
                return len(value)
        raise ValueError(
            f"the batch has no tensor to count: {sorted(inputs)}; override `count_items`."
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the Trainer's loss, weighted unless the Trainer weights it; in training alone.

        Args:
            model: The network, as the Trainer wrapped it.
            inputs: A batch.
            return_outputs: Whether to return the outputs, too.
            num_items_in_batch: What the Trainer counted over all replicas.

        Raises:
            ValueError: It is not clear whether the Trainer weights the loss, or it does so with
                this replica's count alone.
            RuntimeError: The loss was weighted before.
        """
        parent: Any = super()
        if not torch.is_grad_enabled():
            return parent.compute_loss(model, inputs, return_outputs, num_items_in_batch)
        count = self.count_items(inputs)
        if not self._weights_itself(model, inputs, num_items_in_batch):
            # else the Trainer multiplies the mean by the number of replicas
            num_items_in_batch = None
        loss, outputs = parent.compute_loss(
            model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch
        )
        if num_items_in_batch is None:
            if loss.requires_grad:
                balance(loss, self._loader, count=count)
        elif is_marked(loss):
            raise RuntimeError(
                "the Trainer divides this loss by the items of all replicas, and it was balanced "
                "before; leave `balance` out of `compute_loss_func`."
            )
        else:
            note_balanced()
        return (loss, outputs) if return_outputs else loss

    def _weights_itself(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None
    ) -> bool:
        """Say whether the Trainer divides the sum of a loss by the items of all replicas."""
        if num_items_in_batch is None:
            return False
        own = getattr(self, "loss_is_scaled_for_ga", None)
        if own is None and _computes_otherwise(type(self)):
            raise ValueError(
                "`compute_loss` is the class's own and is given `num_items_in_batch`; say whether "
                "it divides by it: set `loss_is_scaled_for_ga` to True, or to False if the loss "
                "is a mean over this replica's batch."
            )
        if own is False:
            return False
        if own is None and not self._uses_items(model, inputs, num_items_in_batch):
            return False
        if not self._args().average_tokens_across_devices:
            raise ValueError(
                "`average_tokens_across_devices` is False, with which each replica divides by its "
                "own items, so that all weigh the same; set it to True."
            )
        if self._loader is not None and self._loader.fills:
            raise ValueError(
                "the loader was made with empty='sample', and the Trainer divides this loss by the "
                "items of all replicas, that one among them; make it with empty='rows' or "
                "drop_last=True."
            )
        return True

    def _uses_items(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int
    ) -> bool:
        """Say whether a loss depends on the items, by computing it with others in the first step.

        A model that takes any keyword, or a ``compute_loss_func``, may return a mean all the same.
        """
        if self._found_to_use_items is None:
            trainer: Any = self
            differ = self._differs(model, inputs, num_items_in_batch)
            # where a replica has nothing, its loss says nothing
            own = torch.tensor([differ], device=trainer.args.device)
            self._found_to_use_items = bool(trainer.accelerator.gather(own).any())
        return self._found_to_use_items

    def _differs(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int
    ) -> bool:
        """Say whether twice the items make another loss; the model is left as it is."""
        parent: Any = super()
        losses = []
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad(), random_states_kept():
                for items in (num_items_in_batch, 2 * num_items_in_batch):
                    losses.append(parent.compute_loss(model, dict(inputs), False, items))
        except Exception:  # the same comes in the step itself, with all that it says
            return True
        finally:
            for module, training in modes:
                module.training = training
        first, second = losses
        return not bool(torch.isclose(first, second, rtol=0, atol=0, equal_nan=True))

    def _args(self) -> Any:
        """Return the Trainer's ``TrainingArguments``."""
        return getattr(self, "args")  # noqa: B009 -- the other parent's


def _computes_otherwise(kind: type) -> bool:
    """Say whether a class between the mixin and the Trainer has a ``compute_loss`` of its own."""
    after = kind.__mro__[kind.__mro__.index(BalancedTrainer) + 1 :]
    first = next(parent for parent in after if "compute_loss" in vars(parent))
    return first is not Trainer
