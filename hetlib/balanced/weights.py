r"""The letter's idea: gradients weighted by the samples that each replica actually processed.

With the mean gradient :math:`g_r` of the :math:`n_r` samples of replica r, data-parallel training
uses

.. math:: g = \sum_r w_r g_r.

One process on the whole global batch has the gradient with :math:`w_r = n_r / n`, where :math:`n =
\sum_r n_r` (``"samples"``, the balanced gradient: Moreno-Alvarez et al., GRSL 2022). The usual
plain mean takes :math:`w_r = 1 / P` (``"mean"``); weights by speed are :math:`w_r = s_r / \sum s`
(``"speed"``).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

WEIGHTINGS = ("samples", "mean", "speed")


# How the learning rate follows the ratio of batches: Goyal et al., arXiv 1706.02677; Malladi et
# al., arXiv 2205.10287.
LR_RULES: dict[str, Callable[[float], float]] = {"linear": lambda ratio: ratio, "sqrt": math.sqrt}


def replica_weights(
    counts: Sequence[int], weighting: str, speeds: Sequence[float] | None = None
) -> np.ndarray:
    """Return the weight w_r of each replica's mean gradient, float64 ``(P,)``; ``counts`` are the samples processed."""
    if weighting not in WEIGHTINGS:
        raise ValueError(f"`weighting` is {weighting!r}; allowed are {WEIGHTINGS}.")
    if weighting == "speed" and len(speeds or ()) != len(counts):
        raise ValueError(
            f"`speeds` is {speeds!r}; 'speed' needs one speed for each of {len(counts)} replicas."
        )
    weights = {"samples": counts, "mean": np.ones(len(counts)), "speed": speeds}[weighting]
    return np.asarray(weights, dtype=np.float64) / np.sum(weights)  # type: ignore[arg-type]


def effective_batch(
    counts: Sequence[int], weights: Sequence[float] | np.ndarray | None = None
) -> float:
    r"""Return the batch whose plain gradient has the same variance as the weighted one.

    For samples drawn independently, :math:`\mathrm{Var}(\sum_r w_r g_r) = \sigma^2 \sum_r w_r^2 /
    n_r`, so :math:`B_\mathrm{eff} = (\sum_r w_r)^2 / \sum_r (w_r^2 / n_r)`; for the plain mean that
    is :math:`P^2 / \sum_r (1 / n_r)`. Replicas without samples contribute nothing and are left out.
    ``weights`` are those of the replicas' mean gradients; ``None`` is the plain mean.

    >>> round(effective_batch([224, 32]))
    112
    """
    n = np.asarray(counts, dtype=np.float64)
    w = np.ones_like(n) if weights is None else np.asarray(weights, dtype=np.float64)
    used = n > 0
    return float(w[used].sum() ** 2 / (w[used] ** 2 / n[used]).sum())


def noise_scale(
    counts: Sequence[int], local: Sequence[float], reduced: float
) -> tuple[float, float]:
    r"""Estimate :math:`|G|^2` and :math:`\mathrm{tr}\,C` from norms that uneven replicas have anyway, without bias.

    With :math:`L = \sum_r (n_r / B) |g_r|^2` and :math:`T = |g|^2` of the balanced gradient, over P
    replicas with samples: :math:`|G|^2 \approx (P T - L) / (P - 1)` and :math:`\mathrm{tr}\,C
    \approx B (L - T) / (P - 1)`. The noise scale is their averages' ratio; for equal shares,
    McCandlish et al., arXiv 1812.06162, appendix A. ``local`` are the squared norms of the
    replicas' mean gradients, before the reduction, ``reduced`` that of the balanced gradient.
    """
    n = np.asarray(counts, dtype=np.float64)
    replicas = int(np.count_nonzero(n))
    if replicas < 2 or len(local) != len(n):
        raise ValueError(
            f"`counts` {counts} and `local` {local}: give as many, at least two of them with samples."
        )
    total = float((n * np.where(n > 0, local, 0.0)).sum() / n.sum())
    noise = float(n.sum()) * (total - reduced) / (replicas - 1)
    return (replicas * reduced - total) / (replicas - 1), noise
