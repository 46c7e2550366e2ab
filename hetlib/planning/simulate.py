r"""Step times of any number of replicas, modelled: nothing here is measured.

.. math:: T = \max_r t_r(n_r) (1 + \sigma E_r), \qquad \text{step} = T + \max(c(k) - \omega T, 0)

with compute times :math:`t_r`, standard exponential draws :math:`E_r` and, beside the last fraction
:math:`\omega` of the compute phase, the communication c of k replicas (ring: Patarasu and Yuan, J.
Parallel Distrib. Comput. 69, 2009).
"""

from collections.abc import Callable, Sequence

import numpy as np

from hetlib.containers import items
from hetlib.errors import wrong
from hetlib.inputs import MOST_SEED, number, whole
from hetlib.planning.arguments import speed_model
from hetlib.planning.speed import SpeedModel

# Of a simulation: an array of them is 0.8 GB.
MOST_STEPS = 10**8

_DRAWS = 2**20  # at a time: some MB, however many steps and replicas there are


def ring_all_reduce(size: float, bandwidth: float, latency: float = 0.0) -> Callable[[int], float]:
    """Return the time of a ring all-reduce: 2 (k - 1) (size / k / bandwidth + latency).

    Args:
        size: Bytes that are summed over all replicas.
        bandwidth: Bytes per second of each link.
        latency: Seconds of a message without content.

    Returns:
        A function of the number of replicas k, in seconds.

    Raises:
        ValueError: One of them is no number, or out of range.
    """
    size = number("size", size, low=0)
    bandwidth = number("bandwidth", bandwidth, above=0)
    latency = number("latency", latency, low=0)

    def seconds(replicas: int) -> float:
        replicas = whole("replicas", replicas, low=1)
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
    models = items("models", models, speed_model, low=1)
    shares = items("shares", shares, _samples, count=len(models))
    if not any(shares):
        raise wrong("shares", shares, "a share for each model, not all 0")
    steps = whole("steps", steps, low=1, high=MOST_STEPS)
    overlap = number("overlap", overlap, low=0, high=1)
    straggler = number("straggler", straggler, low=0)
    seed = whole("seed", seed, low=0, high=MOST_SEED)

    seconds = [model.time(n) for model, n in zip(models, shares, strict=True) if n > 0]
    times = np.array(seconds)
    replicas = len(times)
    cost = 0.0
    if communication is not None and replicas > 1:
        cost = _cost(communication, replicas)

    rng = np.random.default_rng(seed)
    compute = np.empty(steps)
    parts = 1 + steps * replicas // _DRAWS
    for part in np.array_split(compute, min(steps, parts)):  # views
        drawn = rng.standard_exponential((len(part), replicas))
        delayed = times * (1 + straggler * drawn)
        part[:] = delayed.max(axis=1)
    visible = np.maximum(cost - overlap * compute, 0)
    return compute + visible


def _samples(name: str, value: object) -> float:
    return number(name, value, low=0)


def _cost(communication: Callable[[int], float], replicas: int) -> float:
    """Return the seconds that so many replicas communicate for."""
    if not callable(communication):
        raise wrong("communication", communication, "a function of the number of replicas")
    return number(f"communication({replicas})", communication(replicas), low=0)
