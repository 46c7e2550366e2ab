"""Whether a plan in a file may be used again: it is one of the same job over as fast a link."""

from typing import NamedTuple

from torch import nn

from hetlib.planning.link import Link, measured_link
from hetlib.planning.partition import Partition
from hetlib.planning.ranks import gather
from hetlib.planning.store import PlanFile

_DOUBTS = 3  # so often is a link that seems slower than it was timed anew, before all else is


class Again(NamedTuple):
    """The plan that is used again, if there is one, and the link of now, if a folder keeps it."""

    plan: Partition | None
    link: Link | None


def stored_plan(file: PlanFile, replicas: int, global_batch: int, model: nn.Module) -> Again:
    """Return the plan of a file that still holds; every rank has to call it.

    Args:
        file: On rank 0, which counts.
        replicas: How many the plan has to be for.
        global_batch: Samples a step over all of them.
        model: On this rank, which tells how much a step exchanges and where.
    """
    if not gather(file.keeps)[0]:
        return Again(None, None)
    device = next(model.parameters()).device
    link = measured_link(device)
    stored = gather(file.read(replicas, global_batch))[0]
    if stored is None:
        return Again(None, link)
    if link is None:  # nothing is exchanged
        return Again(stored.plan, None)
    if stored.link is None:  # nobody knows over which it was made
        return Again(None, link)

    size = max(gather(_gradients(model)))
    for _ in range(_DOUBTS):
        if not stored.link.differs(link, size, stored.plan.step):
            return Again(stored.plan, link)
        again = measured_link(device)
        assert again is not None  # as before
        link = link.or_faster(again)
    return Again(None, link)


def _gradients(model: nn.Module) -> int:
    """Return the bytes of a model's gradients."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return sum(weight.numel() * weight.element_size() for weight in trained)
