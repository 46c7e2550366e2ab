"""What callers give to the functions of this package: a network, and a group of replicas."""

from torch import distributed as dist
from torch import nn

from hetlib.errors import wrong


def require_model(model: object) -> None:
    """Refuse what is no network.

    Args:
        model: What was given.

    Raises:
        ValueError: It is no module.
    """
    if not isinstance(model, nn.Module):
        raise wrong("model", model, "a torch.nn.Module")


def require_group(name: str, group: object) -> None:
    """Refuse what is no group of replicas, or one without this process.

    Args:
        name: Of the argument.
        group: What was given; ``None`` is the default group.

    Raises:
        ValueError: It is no process group, or this process is not in it.
    """
    if group is None or isinstance(group, dist.ProcessGroup):
        return
    if group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(
            f"`{name}` is a process group without this process; call the function on the replicas "
            "in it alone."
        )
    raise wrong(name, group, "None or a process group, as torch.distributed.new_group returns it")
