"""Overall accuracy, average accuracy and kappa from a confusion matrix that replicas can add up."""

import numpy as np
import torch


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
