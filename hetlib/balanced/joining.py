"""Counts of replicas that run out of batches at different times, within torch's ``Join``."""

from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.algorithms.join import Join, Joinable, JoinHook

from hetlib.balanced.arguments import require_group
from hetlib.balanced.counting import AnnouncedCount, Group, begin_to_sum, device_of


class _Nothing(JoinHook):
    """What a replica adds to the others' sums once it has no batch left."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def main_hook(self) -> None:
        nothing = torch.zeros((), dtype=torch.float64, device=device_of(self._group))
        dist.all_reduce(nothing, group=self._group)


class JoinedCounts(Joinable):
    """Sums counts where replicas have unequal numbers of batches.

    A replica that has run out adds 0, so each step has the gradient of one process on the batches
    that are left. It stands before the model, which passes forward once a step, and shares its
    group. As in DDP's own ``join``, a replica that has run out gets the others' weights at the end,
    and nothing of their optimizer's state.

    Args:
        group: Process group of the replicas; ``None`` is the default one.

    Example:
        counts = JoinedCounts()
        with Join([counts, model]):
            for inputs, targets in batches:
                announced = counts.announce(len(targets))
                loss = F.cross_entropy(model(inputs), targets)
                balance(loss, count=announced).backward()
                optimizer.step()
                optimizer.zero_grad()
    """

    def __init__(self, group: Group = None) -> None:
        super().__init__()
        require_group("group", group)
        self._group = group

    def announce(self, count: float | torch.Tensor) -> AnnouncedCount:
        """Begin to sum a count over the replicas that are left; before the forward pass.

        Args:
            count: What this replica's loss is the mean over: a number >= 0, or a tensor with one.

        Returns:
            The count, for ``balance(loss, count=...)``.

        Raises:
            ValueError: ``count`` is no finite number >= 0.
            RuntimeError: ``Join`` is not on, or something else stands first in it.
        """
        config = self._join_config
        if not (config.enable and config.is_first_joinable):
            raise RuntimeError(
                "counts of replicas that run out are summed within torch's Join, where they stand "
                "first: with Join([counts, model]). Without it call hetlib.announce."
            )
        Join.notify_join_context(self)
        return begin_to_sum(count, self._group)

    def join_hook(self, **_: Any) -> JoinHook:
        """Return what takes part in the sums for a replica that has run out."""
        return _Nothing(self._group)

    @property
    def join_device(self) -> torch.device:
        """Where the replicas reduce numbers."""
        return device_of(self._group)

    @property
    def join_process_group(self) -> Any:
        """The replicas."""
        return self._group or dist.group.WORLD
