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

from hetlib.containers import items
from hetlib.errors import shown, wrong
from hetlib.inputs import number, one_of
from hetlib.plain import plain

WEIGHTINGS = ("samples", "mean", "speed")


def _in_proportion(ratio: float) -> float:
    return ratio


# How the learning rate follows the ratio of batches: Goyal et al., arXiv 1706.02677; Malladi et
# al., arXiv 2205.10287.
LR_RULES: dict[str, Callable[[float], float]] = {"linear": _in_proportion, "sqrt": math.sqrt}


def replica_weights(
    counts: Sequence[int], weighting: str, speeds: Sequence[float] | None = None
) -> np.ndarray:
    """Return the weight w_r of each replica's mean gradient.

    Args:
        counts: Samples that each replica processed, ``(P,)``.
        weighting: One of `WEIGHTINGS`; the module says what they are.
        speeds: Samples a second of each replica, ``(P,)``, for ``"speed"``.

    Returns:
        The weights, with the sum 1, float64 ``(P,)``.

    Raises:
        ValueError: There is no such weighting, it lacks a speed for each replica, or nobody
            processed a sample.

    >>> replica_weights([6, 2], "samples")
    array([0.75, 0.25])
    """
    one_of("weighting", weighting, WEIGHTINGS)
    samples = items("counts", counts, _amount, low=1)
    raw: Sequence[float] | np.ndarray = samples
    if weighting == "mean":
        raw = np.ones(len(samples))
    if weighting == "speed":
        try:
            raw = items("speeds", speeds, _amount, count=len(samples))
        except ValueError:
            raise ValueError(
                f"`speeds` is {shown(speeds)}; "
                f"'speed' needs one speed for each of {len(samples)} replicas."
            ) from None
    if not np.any(raw):
        raise wrong("counts", counts, "numbers >= 0, not all of them 0, as must be the speeds")
    weights: np.ndarray = np.asarray(raw, dtype=np.float64) / np.sum(raw)
    return weights


def effective_batch(
    counts: Sequence[int], weights: Sequence[float] | np.ndarray | None = None
) -> float:
    r"""Return the batch whose plain gradient has the same variance as the weighted one.

    For samples drawn independently, :math:`\mathrm{Var}(\sum_r w_r g_r) = \sigma^2 \sum_r w_r^2 /
    n_r`, so :math:`B_\mathrm{eff} = (\sum_r w_r)^2 / \sum_r (w_r^2 / n_r)`; for the plain mean that
    is :math:`P^2 / \sum_r (1 / n_r)`. Replicas without samples contribute nothing and are left out.

    Args:
        counts: Samples of each replica, ``(P,)``.
        weights: Those of the replicas' mean gradients, ``(P,)``; ``None`` is the plain mean.

    Returns:
        The effective batch in samples.

    Raises:
        ValueError: No replica has a sample, or there is not one weight for each.

    >>> round(effective_batch([224, 32]))
    112
    """
    each = items("counts", counts, _amount, low=1)
    if not any(each):
        raise wrong("counts", counts, "numbers >= 0, not all of them 0")
    if weights is not None:
        weights = items("weights", weights, number, count=len(each))
    samples = np.asarray(each, dtype=np.float64)
    if weights is None:
        weights = np.ones_like(samples)
    factors = np.asarray(weights, dtype=np.float64)
    used = samples > 0
    n = samples[used]
    w = factors[used]
    return float(w.sum() ** 2 / (w**2 / n).sum())


def noise_scale(
    counts: Sequence[int], local: Sequence[float], reduced: float
) -> tuple[float, float]:
    r"""Estimate :math:`|G|^2` and :math:`\mathrm{tr}\,C` without bias, from norms at hand anyway.

    With :math:`L = \sum_r (n_r / B) |g_r|^2` and :math:`T = |g|^2` of the balanced gradient, over P
    replicas with samples: :math:`|G|^2 \approx (P T - L) / (P - 1)` and :math:`\mathrm{tr}\,C
    \approx B (L - T) / (P - 1)`. The noise scale is their averages' ratio; for equal shares,
    McCandlish et al., arXiv 1812.06162, appendix A.

    Args:
        counts: Samples of each replica, ``(P,)``.
        local: Squared norms of the replicas' mean gradients, before the reduction, ``(P,)``.
        reduced: Squared norm of the balanced gradient.

    Returns:
        The estimates of the squared norm of the true gradient and of the trace of the covariance of
        one sample's gradient. One step's can be off by more than their values.

    Raises:
        ValueError: Fewer than two replicas have samples, the lengths differ, or a norm is none.
    """
    local = items("local", local, _norm)
    reduced = _norm("reduced", reduced)
    n = np.asarray(items("counts", counts, _amount), dtype=np.float64)
    replicas = int(np.count_nonzero(n))
    if replicas < 2 or len(local) != len(n):
        raise ValueError(
            f"`counts` {shown(counts)} and `local` {shown(local)}: "
            "give as many, at least two of them with samples."
        )
    batch = n.sum()
    # a replica without samples has no gradient, and NaN times 0 is NaN
    norms = np.where(n > 0, local, 0.0)
    mean_norm = float((n * norms).sum() / batch)
    true_norm = (replicas * reduced - mean_norm) / (replicas - 1)
    trace = float(batch) * (mean_norm - reduced) / (replicas - 1)
    return true_norm, trace


def _amount(name: str, value: object) -> float:
    return number(name, value, low=0)


def _norm(name: str, value: object) -> float:
    """Return a norm: NaN where there is no gradient, infinite where a training diverged."""
    given = plain(value)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise wrong(name, value, "a number")
    if isinstance(given, int):
        return number(name, value)
    return given
