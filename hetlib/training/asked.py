"""What is asked of a training: an experiment and replicas, checked before anything is opened."""

from hetlib.errors import wrong
from hetlib.planning.partition import Partition
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
