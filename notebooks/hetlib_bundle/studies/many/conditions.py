"""Ways to form the gradient of a step: which samples come in, and what each counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetlib.balanced.shares import slashed
from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib.inputs import one_of

# What a condition is.
KINDS = {
    "single": "one process with the whole global batch",
    "small": "one process whose batch is round(n_eff) of the plain mean with these shares",
    "subset": "the same, on a random part n_eff / B of the samples",
    "plain": "the mean of the replicas' mean gradients",
    "balanced": "the replicas' mean gradients weighted by their samples",
}

# Which samples a replica draws from.
SAMPLINGS = {
    "iid": "from all of them, in one order that is dealt",
    "random": "from a part of its own, cut at random",
    "region": "from a part of its own, a strip of the scene in a direction drawn by the seed",
    "class": "from a part of its own, cut from the samples sorted by class, in an order of the "
    "classes drawn by the seed",
    "half": "as by class, but for half of the samples, which are dealt at random",
}

# Conditions without replicas draw from all samples.
ALONE = ("single", "small", "subset")


@dataclass(frozen=True)
class Condition:
    """A way to form the gradient.

    Attributes:
        kind: One of `KINDS`.
        shares: Samples of each replica in a step.
        sampling: One of `SAMPLINGS`; "iid" where there are no replicas.
    """

    kind: str
    shares: tuple[int, ...]
    sampling: str = "iid"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        one_of("sampling", self.sampling, SAMPLINGS)
        if not self.shares or min(self.shares) < 1:
            raise ValueError(f"`shares` is {self.shares}; give samples >= 1 of each replica.")
        if self.kind in ALONE and self.sampling != "iid":
            raise ValueError(f"`sampling` is {self.sampling!r}; {self.kind} draws 'iid'.")

    @property
    def name(self) -> str:
        """The condition in a word, such as plain class 107/21."""
        words = [self.kind]
        if self.kind not in ALONE:
            words.append(self.sampling)
        if self.kind != "single":
            words.append(slashed(self.shares))
        return " ".join(words)

    @property
    def global_batch(self) -> int:
        """Samples of a step of the replicas, B."""
        return sum(self.shares)

    @property
    def plain_n_eff(self) -> float:
        """The effective batch of a plain mean with these shares."""
        return effective_batch(self.shares)

    @property
    def drawn(self) -> tuple[int, ...]:
        """Samples that each replica, or the one process, draws in a step."""
        if self.kind == "single":
            return (self.global_batch,)
        if self.kind in ("small", "subset"):
            return (round(self.plain_n_eff),)
        return self.shares

    @property
    def n_eff(self) -> float:
        """The effective batch of the condition's gradient, for independent draws."""
        return effective_batch(self.drawn, self.replica_weights())

    def replica_weights(self) -> np.ndarray:
        """Return what each replica's mean gradient is multiplied by, (P,), with the sum 1."""
        weighting = "mean" if self.kind == "plain" else "samples"
        return replica_weights(self.drawn, weighting)

    def sample_weights(self) -> np.ndarray:
        """Return what each sample of a step is multiplied by, (n,), with the sum 1."""
        each = self.replica_weights() / np.asarray(self.drawn)
        return np.repeat(each, self.drawn)


def n_eff_ratio(shares: Sequence[int]) -> float:
    """Return n_eff / B of a plain mean.

    Args:
        shares: Samples of each replica in a step.
    """
    return effective_batch(shares) / sum(shares)
