r"""Local SGD with uneven local steps: copies of a network that part, and are averaged now and then.

In a round, replica r does :math:`k_r` steps of its own on batches of b samples, as many as its
speed allows; then the copies are averaged, each counting alike or by the samples that it has seen
in the round, :math:`k_r b`. Copies of a seed are stacked beside each other as if they were further
seeds (`.engine`), and a copy whose steps of the round are done stands still.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hetlib.balanced.weights import replica_weights
from hetlib.inputs import one_of, whole
from hetlib_bundle.studies.many.cells import batches, split_of
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.draws import draw
from hetlib_bundle.studies.many.engine import (
    Descent,
    Layers,
    outputs,
    perceptron,
    sample_losses,
    schedule,
    stack,
)
from hetlib_bundle.studies.many.recipes import recipe

AVERAGES = ("mean", "samples")

# Between the seeds of the copies' orders, so that no two copies see one order.
APART = 1000


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How copies are trained and averaged.

    Attributes:
        local_steps: Of each replica in a round, the most first.
        batch: Samples of each such step.
        average: What a copy counts by: one of `AVERAGES`.
    """

    local_steps: tuple[int, ...]
    batch: int
    average: str

    def __post_init__(self) -> None:
        one_of("average", self.average, AVERAGES)
        whole("batch", self.batch, low=1)
        falling = sorted(self.local_steps, reverse=True)
        if not falling or falling[-1] < 1 or falling != list(self.local_steps):
            raise ValueError(
                f"`local_steps` is {self.local_steps}; give numbers >= 1, the largest first."
            )

    def weights(self) -> np.ndarray:
        """Return what each copy counts in an average, (P,), with the sum 1."""
        return replica_weights(self.local_steps, self.average)


def train_rounds(
    name: str, rounds: Rounds, steps: int, seeds: Sequence[int], rates: Sequence[float]
) -> Layers:
    """Train the copies of a recipe's networks, and return their averages.

    Args:
        name: Of the recipe.
        rounds: How.
        steps: Of the fastest replica in the whole training; the last round may be a shorter one.
        seeds: Of split, weights and order, (S,).
        rates: Peak learning rates, (R,).

    Returns:
        The averaged layers, (S, R, ...).
    """
    how = recipe(name)
    splits = [split_of(name, seed) for seed in seeds]
    alone = Condition("single", (rounds.batch,))
    networks = []
    samples = []
    rows = []
    for split, seed in zip(splits, seeds, strict=True):
        for rank in range(len(rounds.local_steps)):
            networks.append(perceptron(how.sizes(split), seed))
            samples.append(split.train)
            rows.append(draw(alone, split.train, steps, seed + APART * rank))
    layers = stack(networks, len(rates))
    drawn = batches(samples, rows)
    descend(layers, drawn, rounds, steps=steps, rates=rates, descent=how.descent)
    apart = len(rounds.local_steps)
    return [(weight[::apart], bias[::apart]) for weight, bias in layers]


def descend(
    layers: Layers,
    drawn: Iterator[tuple[torch.Tensor, torch.Tensor]],
    rounds: Rounds,
    *,
    steps: int,
    rates: Sequence[float],
    descent: Descent,
) -> None:
    """Train stacked copies in place; in the end all copies of a seed are their average.

    Args:
        layers: (S P, R, ...), the copies of a seed beside each other.
        drawn: The samples of each step: inputs (S P, b, features) and labels (S P, b).
        rounds: How.
        steps: Of the fastest replica.
        rates: Peak learning rates, (R,).
        descent: Momentum and weight decay; velocities stay with their copies.
    """
    parameters = [parameter for layer in layers for parameter in layer]
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    peak = torch.tensor(rates, dtype=parameters[0].dtype)
    own_steps = torch.tensor(rounds.local_steps)
    longest = rounds.local_steps[0]
    seeds = len(parameters[0]) // len(own_steps)
    for step, factor in enumerate(schedule(steps)):
        inputs, labels = next(drawn)
        losses = sample_losses(outputs(layers, inputs), labels)
        gradients = torch.autograd.grad(losses.mean(2).sum(), parameters)
        place = step % longest
        moving = (place < own_steps).repeat(seeds)
        with torch.no_grad():
            for parts in zip(parameters, velocities, gradients, strict=True):
                _move(*parts, factor * peak, moving, descent)
            if place == longest - 1 or step == steps - 1:
                _average(parameters, rounds.weights())


def _move(
    parameter: torch.Tensor,
    velocity: torch.Tensor,
    gradient: torch.Tensor,
    rates: torch.Tensor,
    moving: torch.Tensor,
    descent: Descent,
) -> None:
    """Do a step of SGD in the copies that move."""
    slope = gradient.add(parameter, alpha=descent.decay)
    further = descent.momentum * velocity + slope
    shape = [-1, *[1] * (parameter.dim() - 1)]
    velocity.copy_(torch.where(moving.view(shape), further, velocity))
    rate = rates.view(1, -1, *[1] * (parameter.dim() - 2))
    parameter.sub_(moving.view(shape) * rate * velocity)


def _average(parameters: Sequence[torch.Tensor], weights: np.ndarray) -> None:
    """Put the average of its copies in place of each copy."""
    each = torch.from_numpy(weights)
    for parameter in parameters:
        copies = parameter.view(-1, len(each), *parameter.shape[1:])
        share = each.to(parameter.dtype).view(1, -1, *[1] * (parameter.dim() - 1))
        mean = (share * copies).sum(1, keepdim=True)
        copies.copy_(mean.expand_as(copies))
