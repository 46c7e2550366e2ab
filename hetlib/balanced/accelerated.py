"""What Hugging Face Accelerate does for the loaders that it makes anew, for one that it leaves.

``Accelerator.prepare`` would deal the batches of a `BalancedLoader` a second time, so the loader
says that it is prepared already. Then somebody else has to say when an epoch ends (else
``accumulate`` carries the last, short window over to the next epoch) and to move the batches.
Accelerate is not imported here: a loader that was prepared finds it loaded.
"""

import sys
from typing import Any

from hetlib.balanced.batches import moved


class Accelerated:
    """A prepared loader's word to Accelerate.

    Args:
        loader: The loader.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._module: Any = sys.modules["accelerate.state"]

    def begin(self) -> None:
        """Say that a pass begins."""
        self._loader.end_of_dataloader = False
        # samples that were added to fill the last batch: -1 is none
        self._loader.remainder = -1
        self.end()
        self._module.GradientState()._add_dataloader(self._loader)

    def note_last(self) -> None:
        """Say that the epoch's last batch is handed out."""
        self._loader.end_of_dataloader = True

    def end(self) -> None:
        """Say that the pass is over."""
        self._module.GradientState()._remove_dataloader(self._loader)

    def placed(self, batch: Any) -> Any:
        """Return a batch on Accelerate's device.

        Args:
            batch: As it was read.
        """
        return moved(batch, self._module.PartialState().device)


class LeftByAccelerate:
    """What Accelerate asks of a loader whose batches are dealt already."""

    # `Accelerator.save_state`, which asks for it, then keeps the position of one that was prepared
    use_stateful_dataloader = True

    # what Accelerate is told, once it has prepared the loader
    _accelerated: Accelerated | None = None

    @property
    def _is_accelerate_prepared(self) -> bool:
        """Say to ``Accelerator.prepare``, which asks, that the batches are dealt already."""
        return True

    @_is_accelerate_prepared.setter
    def _is_accelerate_prepared(self, _: bool) -> None:
        """Note that it was prepared: ``Accelerator.prepare`` marks what it returns."""
        self._accelerated = Accelerated(self)
