r"""When other shares are worth a change, judged from the last steps.

Over the last 10, 40 and 160 steps of a plan, the median :math:`f_r` of observed over modelled time
scales each model. What the plan loses to the best one, taken to go with :math:`1 / \sum_r (s_r /
f_r)` (speeds s_r), less a dead band, has to add up to the cost of a change: a slow phase below half
a window is sat out. The later half gives the new shares and has to confirm half of that; it alone
decides on going back to the plan before, once, at a quarter of the cost.
"""

from collections.abc import Sequence
from typing import NamedTuple

from hetlib.balanced.schedule import Shares
from hetlib.planning.exchange import MESSAGE
from hetlib.planning.fleet import Fleet

WINDOWS = (10, 40, 160)  # steps that are judged


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
    latest = plan  # with the work of the best plan that was looked for last
    for window in WINDOWS:
        if seen < window or seen % (window // 2):
            continue
        latest = _asked_for(
            plan=latest,
            fleet=fleet,
            factors=history.medians(window),
            late=history.medians(window // 2),
            worth=Worth(dead_band=band * usual, change=cost * usual / window),
        )
        if latest.shares != plan.shares:
            break
    return latest


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
    if plan.before:
        gained = fleet.step(late, plan.shares) - fleet.step(late, plan.before)
        if gained > worth.after(_BACK):
            return _back_or_on(plan=plan, fleet=fleet, late=late, worth=worth.after(_BACK))

    lost = fleet.step(factors, plan.shares) - fleet.ideal(factors, plan.work)
    if lost > worth.after(_WHOLE):
        return _best_or_stay(plan=plan, fleet=fleet, late=late, worth=worth.after(_LATE))
    return plan


def _best_or_stay(*, plan: Plan, fleet: Fleet, late: Sequence[float], worth: float) -> Plan:
    """Return the best plan, or the one that holds where the last steps do not confirm the other.

    Args:
        plan: What holds.
        fleet: The replicas.
        late: Their factors in the last steps.
        worth: Seconds that the best plan has to gain.
    """
    best = fleet.best(late)
    gained = fleet.step(late, plan.shares) - fleet.step(late, best.shares)
    if gained > worth:
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
