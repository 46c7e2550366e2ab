"""Overall accuracy, average accuracy and kappa from a confusion matrix that replicas can add up."""

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from hetlib.datasets.images import ImageDataset


def confusion_matrix(labels: torch.Tensor, predicted: torch.Tensor, classes: int) -> torch.Tensor:
    """Count ``(true, predicted)`` pairs: int64 ``(classes, classes)``. Matrices of parts add up exactly."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(
        classes, classes
    )


def scores(confusion: np.ndarray) -> dict[str, float]:
    r"""Return ``oa``, ``aa`` and ``kappa``, fractions of 1.

    With row sums :math:`a_i` (true), column sums :math:`b_i` (predicted) and n samples: :math:`OA =
    \mathrm{tr}(C) / n`, :math:`AA` the mean of :math:`C_{ii} / a_i` over the classes that occur,
    :math:`\kappa = (OA - p) / (1 - p)` with :math:`p = \sum_i a_i b_i / n^2` (Cohen, 1960).

    >>> scores(np.array([[3, 1], [1, 5]]))["oa"]
    0.8
    """
    c = np.asarray(confusion, dtype=np.float64)
    true, predicted, n = c.sum(1), c.sum(0), c.sum()
    oa, chance, occurs = np.trace(c) / n, true @ predicted / n**2, true > 0
    kappa = (oa - chance) / (1 - chance) if chance < 1 else 0.0
    return {
        "oa": float(oa),
        "aa": float((np.diag(c)[occurs] / true[occurs]).mean()),
        "kappa": float(kappa),
    }


@torch.no_grad()
def evaluate(
    network: nn.Module, held_out: ImageDataset, loss_sum: Any, group: Any
) -> tuple[np.ndarray, torch.Tensor]:
    """Return the confusion matrix of the whole split, and the training losses of the group's replicas added up."""
    parameter, classes = next(network.parameters()), len(held_out.classes)
    part, counted = np.arange(len(held_out)), torch.zeros(classes, classes, dtype=torch.int64)
    if group is not None:
        for buffer in network.buffers():
            dist.broadcast(buffer, group_src=0, group=group)
        part = np.array_split(part, dist.get_world_size(group))[dist.get_rank(group)]
    network.eval()
    for start in range(0, len(part), 256):
        images, labels = held_out.gather(part[start : start + 256])
        predicted = network(images.to(parameter.device, parameter.dtype)).argmax(1).cpu()
        counted += confusion_matrix(labels, predicted, classes)
    if group is not None:
        total = torch.cat([counted.flatten().double(), loss_sum.reshape(1)]).to(parameter.device)
        dist.all_reduce(total, group=group)  # counts are whole numbers far below 2^53: exact
        counted, loss_sum = (
            total[:-1].round().long().reshape(classes, classes).cpu(),
            total[-1].cpu(),
        )
    return counted.numpy(), loss_sum
