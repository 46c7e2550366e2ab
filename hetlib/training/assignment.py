"""Who takes how much of each global batch: made in one place, and carried whole from there on."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hetlib.errors import wrong
from hetlib.planning.partition import Partition
from hetlib.replicas.platform import Platform
from hetlib.training.experiment import Experiment, check_accumulation
from hetlib.training.strategies import STRATEGIES, shares_for


@dataclass(frozen=True)
class Assignment:
    """What each replica takes of a global batch, and the plan behind it.

    Attributes:
        shares: Local batch of each replica; their sum is the global batch.
        speeds: Of each replica, measured in samples/s or relative to one that is not slowed.
        most: Samples of each replica's pass: a larger share is taken in several, accumulated.
        plan: What shares or speeds were taken from; None: the experiment and the platform.
    """

    shares: tuple[int, ...]
    speeds: tuple[float, ...]
    most: tuple[int, ...]
    plan: Partition | None = None

    @property
    def active(self) -> tuple[int, ...]:
        """Ranks of the replicas with a share; the others stay out of the training altogether."""
        return tuple(rank for rank, share in enumerate(self.shares) if share)

    def plan_values(self) -> dict[str, Any] | None:
        """Return the plan behind it as plain values, for a record.

        Returns:
            The fields of the `Partition`, sequences as lists; None without a plan.
        """
        if self.plan is None:
            return None
        return json.loads(json.dumps(dataclasses.asdict(self.plan), default=float))


def assign(
    experiment: Experiment, platform: Platform, plan: Partition | None, *, depends: bool
) -> Assignment:
    """Settle who takes how much.

    Args:
        experiment: Whose strategy decides; its own shares come before the plan's.
        platform: The replicas.
        plan: For shares by speed, and for measured speeds; None: the nominal ones.
        depends: Whether the network's outputs for a sample depend on the samples beside it.

    Returns:
        Shares, speeds and passes of each replica.

    Raises:
        ValueError: There are not as many shares as replicas, the plan is of other replicas or of
            another global batch, or a share needs several passes where they would change the
            result.
    """
    if plan is not None:
        _require_fit(experiment, platform, plan)
    speeds = _speeds(platform, plan)
    planned: Sequence[int] | None = experiment.shares
    if planned is None and plan is not None:
        planned = plan.shares
    shares = shares_for(experiment.strategy, experiment.global_batch, speeds, planned)

    most = _largest_passes(experiment.global_batch, platform, shares, _passes(plan, shares))
    every_plan = [shares, *(later for _, later in experiment.plans)]
    if any(_exceeds(held, most) for held in every_plan):
        check_accumulation(experiment, depends)
    return Assignment(shares, speeds, most, plan)


def _require_fit(experiment: Experiment, platform: Platform, plan: Partition) -> None:
    """Refuse a plan of other replicas, and one of another global batch where its shares count."""
    step = "plan_experiment(experiment, replicas) makes one that fits."
    replicas = len(platform)
    if len(plan.shares) != replicas:
        words = f"one share for each of the {replicas} replicas of the platform"
        raise wrong("plan_with.shares", plan.shares, words, step)
    taken = STRATEGIES[experiment.strategy].planned and experiment.shares is None
    if taken and sum(plan.shares) != experiment.global_batch:
        words = f"shares that add up to `global_batch`, which is {experiment.global_batch}"
        raise wrong("plan_with.shares", plan.shares, words, step)


def _speeds(platform: Platform, plan: Partition | None) -> tuple[float, ...]:
    """Return the speeds that a plan has measured, samples/s, else the nominal ones.

    A plan that leaves a replica out has seen nothing of its speed.
    """
    if plan is None or not all(plan.compute):
        return platform.nominal_speeds
    return tuple(n / seconds for n, seconds in zip(plan.shares, plan.compute, strict=True))


def _passes(plan: Partition | None, shares: tuple[int, ...]) -> tuple[int, ...]:
    """Return the passes of each replica: the plan's, where these are its shares."""
    if plan is None or not plan.passes or plan.shares != shares:
        return (1,) * len(shares)
    return plan.passes


def _largest_passes(
    global_batch: int, platform: Platform, shares: tuple[int, ...], passes: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the most samples of a pass: what fits, else what the passes come to."""
    most = []
    for replica, share, count in zip(platform.replicas, shares, passes, strict=True):
        if replica.max_batch is not None:
            most.append(replica.max_batch)
        elif count > 1:
            most.append(-(-share // count))
        else:
            most.append(global_batch)
    return tuple(most)


def _exceeds(shares: Sequence[int], most: Sequence[int]) -> bool:
    return any(n > largest for n, largest in zip(shares, most, strict=True))
