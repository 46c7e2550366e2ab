r"""Step times of any number of replicas, modelled: nothing here is measured.

.. math:: T = \max_r t_r(n_r) (1 + \sigma E_r), \qquad \text{step} = T + \max(c(k) - \omega T, 0)

with compute times :math:`t_r`, standard exponential draws :math:`E_r` and, beside the last fraction
:math:`\omega` of the compute phase, the communication c of k replicas (ring: Patarasu and Yuan, J.
Parallel Distrib. Comput. 69, 2009).
"""

from collections.abc import Callable, Sequence

import numpy as np

from hetlib.planning.speed import SpeedModel


def ring_all_reduce(size: float, bandwidth: float, latency: float = 0.0) -> Callable[[int], float]:
    """Return seconds as a function of k: 2 (k - 1) (size / k / bandwidth + latency), of bytes, bytes/s and seconds."""
    return lambda k: 2 * (k - 1) * (size / k / bandwidth + latency)


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
    """Return the modelled seconds of each step, ``(steps,)``, of replicas with these step models and samples.

    ``straggler`` is the mean delay over the compute time (shifted exponential: Lee et al., arXiv
    1512.02673).
    """
    if (
        len(models) != len(shares)
        or max(shares, default=0) <= 0
        or steps < 1
        or not 0 <= overlap <= 1
        or straggler < 0
    ):
        got = f"{len(models)} models, {len(shares)} `shares`, {steps=}, {overlap=}, {straggler=}"
        raise ValueError(
            f"got {got}; allowed: a share for each model, not all 0; >= 1, 0..1, >= 0."
        )
    times = np.array([model.time(n) for model, n in zip(models, shares, strict=True) if n > 0])
    cost = communication(len(times)) if communication and len(times) > 1 else 0.0
    rng, compute = np.random.default_rng(seed), np.empty(steps)
    # views of some MB of draws each
    for part in np.array_split(compute, min(steps, 1 + steps * len(times) // 2**20)):
        part[:] = (times * (1 + straggler * rng.standard_exponential((len(part), len(times))))).max(
            axis=1
        )
    return compute + np.maximum(cost - overlap * compute, 0)
