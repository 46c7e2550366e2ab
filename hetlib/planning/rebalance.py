"""Shares that follow the replicas' speed while they train; the global batch stays as it is.

What is judged, and when a change is worth it: `hetlib.planning.change`.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.distributed as dist

from hetlib.balanced.arguments import require_group
from hetlib.balanced.loss import balanced_loader
from hetlib.balanced.schedule import Shares
from hetlib.containers import items
from hetlib.errors import shown, wrong
from hetlib.inputs import MOST_SAMPLES, number, whole
from hetlib.planning.arguments import speed_model
from hetlib.planning.change import History, Plan, next_plan
from hetlib.planning.exchange import Exchange
from hetlib.planning.fleet import Fleet, active_in, fleet_of
from hetlib.planning.loop import Loop, RedealingLoader
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel


class Rebalancer:
    """Decides every five steps whether other shares are worth a change.

    Every replica has one, and all decide alike, since all see the same times. In a loop of one's
    own it is made of the plan and the loader, watches each step, and has the loader deal anew. Made
    of models and shares it is told the times, and tells the shares. A replica that the plan leaves
    out stays out.

    Args:
        models: The plan, as `hetlib.plan` made it; or the step model of each replica.
        shares: The loader that deals by the plan; or the local batches, each >= 1.
        caps: Most samples of each replica; ``None`` is no cap. A plan brings its own.
        band: Loss a step that is not worth a change, in compute phases of the best plan at the
            usual speeds.
        cost: Of a change, in such phases; a quarter of it to go back to the plan before.
        group: Processes that train in a loop of one's own; ``None`` is all.

    Raises:
        ValueError: There is not one share >= 1 for each model, or the plan carries no models, or
            its loader deals to other replicas, or another argument is out of range.

    Example:
        >>> rebalancer = Rebalancer(plan, loader)  # on every replica
        >>> for inputs, targets in loader:
        ...     loss = hetlib.balance(F.cross_entropy(model(inputs), targets), loader)
        ...     rebalancer.step(loss)
        ...     loss.backward()
    """

    def __init__(
        self,
        models: Partition | Sequence[SpeedModel],
        shares: RedealingLoader | Shares,
        caps: Sequence[int | None] | None = None,
        band: float = 0.05,
        cost: float = 10.0,
        *,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Plan for the models as they are, without a plan to go back to."""
        require_group("group", group)
        self._loop: Loop | None = None
        self._exchange: Exchange | None = None  # of a loop, its own
        if isinstance(models, Partition):
            fleet = fleet_of(models)
            replicas = len(models.shares)
            active = active_in(models)
            loader = _loader(shares, models)
            self._loop = Loop(loader, replicas, active, self._observe_loop, group)
            held = tuple(loader.shares[r] for r in active)
        else:
            each = items("models", models, speed_model, low=1)
            held = _held(shares, len(each))
            fleet = Fleet(each, sum(held), caps)
            self._exchange = Exchange(len(held))
        self.band = number("band", band, low=0)
        self.cost = number("cost", cost, low=0)
        self._fleet = fleet
        self._history = History()
        best = self._fleet.best([1.0] * len(held))
        self._plan = Plan(shares=held, before=(), work=best.work)

    def step(self, loss: torch.Tensor) -> Shares | None:
        """Watch a step of one's own loop: call it right before ``loss.backward()``.

        Every replica calls it in every step. Where a batch goes through in parts or has several
        losses, for each of them. What a replica does between two backward passes (loading, the
        forward pass, the update) counts as its own; what it waits for the others does not. Every
        fifth step the replicas tell each other, and the loader deals by other shares, from the
        first step that no replica has read, where they pay.

        Args:
            loss: The one that goes backward next.

        Returns:
            The new shares, of all replicas, in the step in which they change; else ``None``.

        Raises:
            ValueError: The loss is no tensor.
            RuntimeError: A step is over, and no backward pass was seen in it nor before, so the
                call came behind it; or the rebalancer was made without a loader.
        """
        if self._loop is None:
            raise RuntimeError(
                "this Rebalancer was made of models and shares; make it of a plan and a loader, "
                "Rebalancer(plan, loader), or call `exchange`."
            )
        if not isinstance(loss, torch.Tensor):
            raise wrong("loss", loss, "the tensor that goes backward next")
        return self._loop.step(loss)

    @property
    def shares(self) -> Shares:
        """Local batches of the plan that holds now."""
        return self._plan.shares

    def exchange(
        self, counts: Sequence[int], seconds: float, group: dist.ProcessGroup | None = None
    ) -> Shares | None:
        """Tell the others this replica's compute time and learn theirs; call it every step.

        Args:
            counts: Samples of each replica in this step.
            seconds: That this replica computed for, up to the end of its backward pass.
            group: Processes that train; ``None`` is all.

        Returns:
            New shares where they pay, else ``None``. All replicas get them in the same step: the
            one after each fifth.

        Raises:
            ValueError: There is not a number of samples for each replica, or the time is none.
            RuntimeError: The rebalancer was made with a loader.
        """
        if self._exchange is None:
            raise RuntimeError(
                "this Rebalancer was made of a plan and a loader, and measures by itself; call "
                "`step`."
            )
        if type(seconds) is not float:  # in every step: what is right costs nothing
            seconds = number("seconds", seconds, low=0)
        replicas = len(self._plan.shares)
        each = tuple(counts) if isinstance(counts, Iterable) else ()
        if len(each) != replicas:
            raise wrong("counts", counts, f"samples of {replicas} replicas")
        message = self._exchange.step(each, seconds, group)
        if message is None:
            return None
        return self.observe(message.counts, message.seconds)

    def _observe_loop(
        self, held: Shares, counts: Sequence[Shares], seconds: Sequence[Sequence[float]]
    ) -> Shares | None:
        """Take in a message from a loop whose loader deals by some shares."""
        if held != self._plan.shares:
            self._plan = Plan(shares=held, before=(), work=self._plan.work)
            self._history.clear()
        return self.observe(counts, seconds)

    def observe(
        self, counts: Sequence[Shares], seconds: Sequence[Sequence[float]]
    ) -> Shares | None:
        """Take in a message, and decide.

        Args:
            counts: Samples of each replica, ``(steps, replicas)``.
            seconds: That it computed for, ``(steps, replicas)``.

        Returns:
            New shares where they pay, else ``None``.
        """
        ratios = []
        for samples, observed in zip(counts, seconds, strict=True):
            modelled = self._fleet.times(samples)
            pairs = zip(observed, modelled, strict=True)
            ratios.append([measured / expected for measured, expected in pairs])
        self._history.add(ratios)

        before = self._plan.shares
        self._plan = next_plan(
            plan=self._plan,
            fleet=self._fleet,
            history=self._history,
            band=self.band,
            cost=self.cost,
        )
        if self._plan.shares == before:
            return None
        self._history.clear()
        return self._plan.shares


def _held(shares: object, replicas: int) -> Shares:
    """Return the local batches, each >= 1."""
    try:
        return items("shares", shares, _share, count=replicas)
    except ValueError:
        allowed = f"allowed is one >= 1 for each of {replicas} models"
        raise ValueError(f"`shares` is {shown(shares)}; {allowed}.") from None


def _share(name: str, value: object) -> int:
    return whole(name, value, low=1, high=MOST_SAMPLES)


def _loader(shares: object, plan: Partition) -> RedealingLoader:
    """Return the loader that deals by a plan, also within what a framework made of it."""
    has_all = all(hasattr(shares, name) for name in ("epoch", "step", "shares", "replan"))
    if not has_all:
        try:
            shares = balanced_loader(shares)
        except TypeError:
            words = "the loader that deals by the plan, a BalancedLoader"
            raise wrong("shares", shares, words) from None
    loader = cast(RedealingLoader, shares)
    dealt = loader.shares
    if len(dealt) != len(plan.shares) or sum(dealt) != plan.global_batch:
        raise ValueError(
            f"`shares` is a loader that deals {list(dealt)}, but `models`, the plan, has "
            f"{len(plan.shares)} replicas and a global batch of {plan.global_batch}; make the "
            "loader of this plan."
        )
    return loader
