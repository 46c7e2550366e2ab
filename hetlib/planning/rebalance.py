r"""Shares that follow the replicas' speed while they train; the global batch stays as it is.

Over the last 10, 40 and 160 steps of a plan, the median :math:`f_r` of observed over modelled time
scales each model. What the plan loses to the best one, taken to go with :math:`1 / \sum_r (s_r /
f_r)` (speeds s_r), less a dead band, has to add up to the cost of a change: a slow phase below half
a window is sat out. The later half gives the new shares and has to confirm half of that; it alone
decides on going back to the plan before, once, at a quarter of the cost.
"""

from collections.abc import Sequence
from operator import truediv
from typing import NamedTuple, cast

import torch
import torch.distributed as dist

from hetlib.errors import shown, wrong
from hetlib.inputs import MOST_SAMPLES, items, number, whole
from hetlib.planning.exchange import MESSAGE, Exchange, Shares
from hetlib.planning.fleet import Fleet, active_in, fleet_of
from hetlib.planning.loop import Dealer, Loop
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel

WINDOWS = (10, 40, 160)  # steps that are judged


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
            another argument is out of range.

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
        shares: Dealer | Shares,
        caps: Sequence[int | None] | None = None,
        band: float = 0.05,
        cost: float = 10.0,
        *,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        """Plan for the models as they are, without a plan to go back to."""
        self._loop: Loop | None = None
        if isinstance(models, Partition):
            fleet = fleet_of(models)
            replicas = len(models.shares)
            active = active_in(models)
            dealer = _dealer(shares)
            self._loop = Loop(dealer, replicas, active, self.observe, group)
            held = tuple(models.shares[r] for r in active)
        else:
            each = items("models", models, _model, low=1)
            held = _held(shares, len(each))
            fleet = Fleet(each, sum(held), caps)
        self.models = fleet.models
        self.caps = fleet.caps
        self.band = number("band", band, low=0)
        self.cost = number("cost", cost, low=0)
        self._fleet = fleet
        self._history = History()
        self._exchange = Exchange(len(held))
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
            RuntimeError: No backward pass followed the last call, or the rebalancer was made
                without a loader.
        """
        if self._loop is None:
            raise RuntimeError(
                "this Rebalancer was made of models and shares; make it of a plan and a loader, "
                "Rebalancer(plan, loader), or call `exchange`."
            )
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
        """
        message = self._exchange.step(tuple(counts), seconds, group)
        if message is None:
            return None
        return self.observe(message.counts, message.seconds)

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
            ratios.append([*map(truediv, observed, modelled)])
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


class Plan(NamedTuple):
    """What a decision starts from, and ends with.

    Attributes:
        shares: Local batches that hold.
        before: Those of the plan before; () where there is no way back.
        work: Of the best plan that was looked for last, see `Fleet.ideal`.
    """

    shares: Shares
    before: Shares
    work: float


class History:
    """Observed over modelled compute time of each replica, in the steps since the plan changed."""

    def __init__(self) -> None:
        """Begin without a step."""
        self._ratios: list[list[float]] = []  # (steps, replicas)

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self._ratios)

    def add(self, ratios: Sequence[list[float]]) -> None:
        """Append steps, ``(steps, replicas)``; those before the longest window go now and then."""
        longest = WINDOWS[-1]
        if len(self._ratios) >= 2 * longest:
            del self._ratios[:-longest]
        self._ratios += ratios

    def clear(self) -> None:
        """Forget all steps: they ran by another plan."""
        self._ratios = []

    def medians(self, steps: int, every: int = 1) -> list[float]:
        """Return the median of each replica over the last steps, of which each n-th counts."""
        latest = self._ratios[-steps::every]
        middle = len(latest) // 2
        return [sorted(ratios)[middle] for ratios in zip(*latest, strict=True)]


def next_plan(*, plan: Plan, fleet: Fleet, history: History, band: float, cost: float) -> Plan:
    """Return the plan for the next steps: one with other shares where they pay.

    Args:
        plan: What holds.
        fleet: The replicas.
        history: Of the steps by this plan.
        band: Loss a step that is not worth a change, in usual compute phases of the best plan.
        cost: Of a change, in such phases.
    """
    seen = len(history)
    usual = fleet.ideal(history.medians(seen, MESSAGE), plan.work)
    for window in WINDOWS:
        if seen < window or seen % (window // 2):
            continue
        found = _asked_for(
            plan=plan,
            fleet=fleet,
            factors=history.medians(window),
            late=history.medians(window // 2),
            worth=Worth(dead_band=band * usual, change=cost * usual / window),
        )
        if found.shares != plan.shares:
            return found
        plan = found
    return plan


class Worth(NamedTuple):
    """What a change has to gain, in seconds a step.

    Attributes:
        dead_band: A loss that is not worth a change, however long it lasts.
        change: The cost of a change, for each step of the window.
    """

    dead_band: float
    change: float

    def after(self, part: float) -> float:
        """Return the least gain, where that part of the cost is to be earned."""
        return self.dead_band + part * self.change


# Parts of the cost of a change that a window has to show: over all its steps; once more over the
# later half of them, in half the time; and for the way back, which is open once.
_WHOLE = 1.0
_LATE = 0.5
_BACK = 0.25


def _asked_for(
    *, plan: Plan, fleet: Fleet, factors: Sequence[float], late: Sequence[float], worth: Worth
) -> Plan:
    """Return the plan that a window of steps asks for, or the one that holds.

    Args:
        plan: What holds.
        fleet: The replicas.
        factors: Observed over modelled time of each replica, over the window.
        late: The same over its later half.
        worth: What a change has to gain.
    """
    lost = fleet.step(factors, plan.shares) - fleet.ideal(factors, plan.work)
    pays = lost > worth.after(_WHOLE)
    if plan.before:
        gained = fleet.step(late, plan.shares) - fleet.step(late, plan.before)
        if gained > worth.after(_BACK):
            return _back_or_on(plan=plan, fleet=fleet, late=late, worth=worth.after(_BACK))
    if not pays:
        return plan

    best = fleet.best(late)
    gained = fleet.step(late, plan.shares) - fleet.step(late, best.shares)
    if gained > worth.after(_LATE):
        return Plan(shares=best.shares, before=plan.shares, work=best.work)
    return plan._replace(work=best.work)


def _back_or_on(*, plan: Plan, fleet: Fleet, late: Sequence[float], worth: float) -> Plan:
    """Return the plan before, or the best one where that is better still.

    Where two replicas swap roles, the plan before is as wrong the other way round.

    Args:
        plan: What holds, with a plan before that is faster by now.
        fleet: The replicas.
        late: Their factors in the last steps.
        worth: Seconds that the best plan has to gain on the plan before.
    """
    best = fleet.best(late)
    gained = fleet.step(late, plan.before) - fleet.step(late, best.shares)
    if gained > worth:
        return Plan(shares=best.shares, before=plan.shares, work=best.work)
    return Plan(shares=plan.before, before=(), work=plan.work)


def _model(name: str, value: object) -> SpeedModel:
    if not isinstance(value, SpeedModel):
        raise wrong(name, value, "a SpeedModel, or all of them a plan")
    return value


def _held(shares: object, replicas: int) -> Shares:
    """Return the local batches, each >= 1."""
    try:
        return items("shares", shares, _share, count=replicas)
    except ValueError:
        allowed = f"allowed is one >= 1 for each of {replicas} models"
        raise ValueError(f"`shares` is {shown(shares)}; {allowed}.") from None


def _share(name: str, value: object) -> int:
    return whole(name, value, low=1, high=MOST_SAMPLES)


def _dealer(shares: object) -> Dealer:
    """Return the loader that deals by a plan."""
    has_all = all(hasattr(shares, name) for name in ("epoch", "step", "replan"))
    if not has_all:
        raise wrong("shares", shares, "the loader that deals by the plan, a BalancedLoader")
    return cast(Dealer, shares)
