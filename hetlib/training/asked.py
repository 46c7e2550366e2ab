"""What is asked of a training: an experiment and replicas, checked before anything is opened."""

import dataclasses
from collections.abc import Sequence

from hetlib.errors import wrong
from hetlib.planning.partition import Partition
from hetlib.replicas.platform import Platform
from hetlib.replicas.team import Team
from hetlib.training.experiment import Experiment

# Of every team, see `hetlib.replicas.team`.
_OF_TEAMS = ("platform", "rank", "timed", "run", "about")


def require_asked(experiment: object, replicas: object) -> None:
    """Refuse what is no experiment, or are no replicas.

    Args:
        experiment: What was given.
        replicas: What was given.

    Raises:
        ValueError: One of them is something else.
    """
    if not isinstance(experiment, Experiment):
        raise wrong("experiment", experiment, "an Experiment")
    if not all(hasattr(replicas, name) for name in _OF_TEAMS):
        raise wrong("replicas", replicas, "a Replicas, JobReplicas or VirtualReplicas")


def require_fit(experiment: Experiment, replicas: Team) -> None:
    """Refuse settings that these replicas cannot follow.

    Args:
        experiment: The settings.
        replicas: Who trains.

    Raises:
        ValueError: A plan has not one share for each replica, or a drift not one slow-down that it
            can have, or virtual replicas are to follow their speeds.
    """
    count = len(replicas.platform)
    for name in ("plans", "drift"):
        for step, values in getattr(experiment, name):
            if len(values) != count:
                words = f"one number for each of the {count} replicas"
                raise wrong(f"{name} from step {step} on", values, words)
    for step, factors in experiment.drift:
        _require_slow_downs(step, factors, replicas.platform)
    if experiment.rebalance and not replicas.timed:
        raise ValueError(
            "`rebalance` needs step times, and virtual replicas have none; use a record's `plans`."
        )


def _require_slow_downs(step: int, factors: Sequence[float], platform: Platform) -> None:
    """Refuse slow-downs that replicas could not begin with either."""
    for rank, replica in enumerate(platform.replicas):
        try:
            dataclasses.replace(replica, slowdown=factors[rank])
        except ValueError as error:
            place = f"`drift from step {step} on`, replica {rank}"
            raise ValueError(f"{place}: {error}") from None


def require_timed(replicas: object) -> None:
    """Refuse replicas that no clock sees.

    Args:
        replicas: A team.

    Raises:
        ValueError: They are virtual.
    """
    if not getattr(replicas, "timed", True):
        step = "Virtual ones have nominal speeds: plan_experiment takes them."
        raise wrong("replicas", replicas, "processes, which have a clock", step)


def require_plan(name: str, plan: object) -> None:
    """Refuse what is no plan.

    Args:
        name: Of the argument.
        plan: What was given; ``None`` is none.

    Raises:
        ValueError: It is something else.
    """
    if plan is not None and not isinstance(plan, Partition):
        raise wrong(name, plan, "None or a Partition", "plan_experiment makes one.")
