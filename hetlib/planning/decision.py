"""From curves to one plan within a budget: the search names candidates, the clock chooses."""

import time
from dataclasses import replace
from typing import NamedTuple

from hetlib.planning import budget
from hetlib.planning.partition import Partition
from hetlib.planning.race import race
from hetlib.planning.ranks import gather
from hetlib.planning.search import Search
from hetlib.planning.timing import Task, curve
from hetlib.planning.trials import Trial

_FOR_CURVES = 0.4  # of the seconds; the rest is for real steps

_LEAST_SECONDS = 3.0  # that planning may take, however small the budget: no plan is by one step


class _Round(NamedTuple):
    """A round of real steps: its part of the seconds, and the most steps of a plan."""

    part: float
    most: int


# Each starts from what those before have shown. The last one is for models that do not agree yet.
_ROUNDS = (_Round(0.15, 3), _Round(0.2, 7), _Round(0.2, 7))


def decide(
    task: Task,
    batch: int,
    seconds: float,
    keep_all: bool = False,
    accumulate: bool = False,
    spent: float = 0.0,
) -> Partition:
    """Return one plan for all ranks: candidates from curves, the choice from the clock.

    Every rank has to call it.

    Args:
        task: What this rank times.
        batch: Samples a step over all replicas.
        seconds: Budget. Each plan that may win takes two steps at least; where that takes longer,
            the plan's note says so.
        keep_all: Whether every replica takes part, worth it or not.
        accumulate: Whether a share may exceed what its replica takes at once.
        spent: Seconds of the budget that went into what came before, such as what fits.

    Returns:
        The plan, the same on all ranks.

    Raises:
        ValueError: No choice of replicas takes exactly ``batch`` samples.
    """
    before = max(gather(spent))
    begin = time.perf_counter()
    left = budget.left_after(before, seconds)
    until = max(left, _LEAST_SECONDS)
    own = (curve(task, batch, _FOR_CURVES * left), task.replica, task.least)
    curves, replicas, floors = zip(*gather(own), strict=True)
    search = Search(
        curves,
        replicas,
        batch,
        floors=floors,
        keep_all=keep_all,
        accumulate=accumulate,
    )
    if len(replicas) == 1:
        found = search.without_a_choice()
    else:
        found = _by_the_clock(task, search, left, begin + until)
    timing = max(gather(time.perf_counter() - begin))
    return replace(found, note=budget.note(before, timing, seconds, found.step))


def _by_the_clock(task: Task, search: Search, seconds: float, end: float) -> Partition:
    """Return the plan that real steps choose, for a budget of ``seconds`` that has an end."""
    for number, (part, most) in enumerate(_ROUNDS):
        left = _least_left(end) / (len(_ROUNDS) - number)
        candidates = search.candidates(left)
        times = race(task, candidates, part * seconds, most, limit=left)
        search.learn([Trial.of(plan, times[shares]) for shares, plan in candidates.items()])
        if search.is_done(_least_left(end)):
            break
    return search.choose()


def _least_left(end: float) -> float:
    """Return the seconds to an end, the same number on all ranks: that of the slowest."""
    left: float = min(gather(end - time.perf_counter()))
    return left
