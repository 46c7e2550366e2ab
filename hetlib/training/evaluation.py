"""Overall accuracy, average accuracy and kappa from a confusion matrix that replicas can add up."""

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from hetlib.training.opening import Data, Reader

# Images at a time, so that the memory needed does not grow with the split.
_PASS = 256


def confusion_matrix(labels: torch.Tensor, predicted: torch.Tensor, classes: int) -> torch.Tensor:
    """Count ``(true, predicted)`` pairs; matrices of parts add up exactly.

    Args:
        labels: True classes, ``(n,)``.
        predicted: Predicted classes, ``(n,)``.
        classes: Number of classes.

    Returns:
        Counts, int64 ``(classes, classes)``.
    """
    pairs = torch.bincount(labels * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


def scores(confusion: np.ndarray) -> dict[str, float]:
    r"""Return ``oa``, ``aa`` and ``kappa``, fractions of 1.

    With row sums :math:`a_i` (true), column sums :math:`b_i` (predicted) and n samples: :math:`OA =
    \mathrm{tr}(C) / n`, :math:`AA` the mean of :math:`C_{ii} / a_i` over the classes that occur,
    :math:`\kappa = (OA - p) / (1 - p)` with :math:`p = \sum_i a_i b_i / n^2` (Cohen, 1960).

    Args:
        confusion: Counts of ``(true, predicted)`` pairs, ``(classes, classes)``.

    Returns:
        The three scores; kappa is 0 where chance alone is always right.

    >>> scores(np.array([[3, 1], [1, 5]]))["oa"]
    0.8
    """
    counts = np.asarray(confusion, dtype=np.float64)
    per_true = counts.sum(1)
    per_predicted = counts.sum(0)
    samples = counts.sum()

    correct = np.trace(counts) / samples
    occurs = per_true > 0
    recalls = np.diag(counts)[occurs] / per_true[occurs]
    chance = per_true @ per_predicted / samples**2
    kappa = 0.0
    if chance < 1:
        kappa = (correct - chance) / (1 - chance)
    return {"oa": float(correct), "aa": float(recalls.mean()), "kappa": float(kappa)}


@torch.no_grad()
def evaluate(
    network: nn.Module,
    held_out: Data,
    loss_sum: torch.Tensor,
    group: dist.ProcessGroup | None,
) -> tuple[np.ndarray, torch.Tensor]:
    """Evaluate a network, each replica of a group on its part of the split.

    Args:
        network: The bare network; the group's first replica sends its buffers to the others.
        held_out: What it is evaluated on.
        loss_sum: Training loss of this replica's samples.
        group: Replicas that evaluate together; None: this process alone.

    Returns:
        Confusion matrix of the whole split ``(classes, classes)``, and the training losses of the
        group's replicas added up.
    """
    part = np.arange(len(held_out))
    if group is not None:
        for buffer in network.buffers():
            dist.broadcast(buffer, group_src=0, group=group)
        parts = np.array_split(part, dist.get_world_size(group))
        part = parts[dist.get_rank(group)]
    counted = _count(network, held_out, part)
    if group is not None:
        counted, loss_sum = _add_up(counted, loss_sum, group, next(network.parameters()).device)
    return counted.numpy(), loss_sum


def _count(network: nn.Module, held_out: Data, part: np.ndarray) -> torch.Tensor:
    """Return the confusion matrix of some samples."""
    weight = next(network.parameters())
    classes = len(held_out.classes)
    counted = torch.zeros(classes, classes, dtype=torch.int64)
    network.eval()
    read = Reader(held_out)
    for start in range(0, len(part), _PASS):
        images, labels = read(part[start : start + _PASS], epoch=0)
        outputs = network(images.to(weight.device, weight.dtype))
        counted += confusion_matrix(labels, outputs.argmax(1).cpu(), classes)
    return counted


def _add_up(
    counted: torch.Tensor, loss_sum: torch.Tensor, group: dist.ProcessGroup, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sums over a group, by one exchange."""
    total = torch.cat([counted.flatten().double(), loss_sum.reshape(1)]).to(device)
    dist.all_reduce(total, group=group)  # counts are whole numbers far below 2^53: exact
    counts = total[:-1].round().long().reshape(counted.shape)
    return counts.cpu(), total[-1].cpu()
