r"""Step times of any number of replicas, modelled: nothing here is measured.

.. math:: T = \max_r t_r(n_r) (1 + \sigma E_r), \qquad \text{step} = T + \max(c(k) - \omega T, 0)

with compute times :math:`t_r`, standard exponential draws :math:`E_r` and, beside the last fraction
:math:`\omega` of the compute phase, the communication c of k replicas (ring: Patarasu and Yuan, J.
Parallel Distrib. Comput. 69, 2009).
"""

from collections.abc import Callable, Sequence

import numpy as np

from hetlib.planning.speed import SpeedModel

_DRAWS = 2**20  # at a time: some MB, however many steps and replicas there are


def ring_all_reduce(size: float, bandwidth: float, latency: float = 0.0) -> Callable[[int], float]:
    """Return the time of a ring all-reduce: 2 (k - 1) (size / k / bandwidth + latency).

    Args:
        size: Bytes that are summed over all replicas.
        bandwidth: Bytes per second of each link.
        latency: Seconds of a message without content.

    Returns:
        A function of the number of replicas k, in seconds.
    """

    def seconds(replicas: int) -> float:
        messages = 2 * (replicas - 1)
        return messages * (size / replicas / bandwidth + latency)

    return seconds


def simulate(
    models: Sequence[SpeedModel],
    shares: Sequence[float],
    steps: int,
    *,
    overlap: float = 0.0,
    straggler: float = 0.0,
    communication: Callable[[int], float] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Model the seconds of each step of replicas with these step models and samples.

    Args:
        models: Step model of each replica.
        shares: Samples of each replica; one without any neither computes nor communicates.
        steps: How many are drawn.
        overlap: Fraction of the compute phase, at its end, beside which communication is hidden.
        straggler: Mean delay over the compute time (shifted exponential: Lee et al., arXiv
            1512.02673).
        communication: Seconds that k active replicas communicate for.
        seed: Of the draws.

    Returns:
        Seconds of each step, ``(steps,)``.

    Raises:
        ValueError: There is not one share for each model or none above 0, or a number is out of
            range.
    """
    unlike = len(models) != len(shares) or max(shares, default=0) <= 0
    if unlike or _out_of_range(steps, overlap, straggler):
        got = f"{len(models)} models, {len(shares)} `shares`, {steps=}, {overlap=}, {straggler=}"
        allowed = "a share for each model, not all 0; >= 1, 0..1, >= 0"
        raise ValueError(f"got {got}; allowed: {allowed}.")

    seconds = [model.time(n) for model, n in zip(models, shares, strict=True) if n > 0]
    times = np.array(seconds)
    replicas = len(times)
    cost = 0.0
    if communication and replicas > 1:
        cost = communication(replicas)

    rng = np.random.default_rng(seed)
    compute = np.empty(steps)
    parts = 1 + steps * replicas // _DRAWS
    for part in np.array_split(compute, min(steps, parts)):  # views
        drawn = rng.standard_exponential((len(part), replicas))
        delayed = times * (1 + straggler * drawn)
        part[:] = delayed.max(axis=1)
    visible = np.maximum(cost - overlap * compute, 0)
    return compute + visible


def _out_of_range(steps: int, overlap: float, straggler: float) -> bool:
    """Return whether a number is none that can be simulated."""
    return steps < 1 or not 0 <= overlap <= 1 or straggler < 0
