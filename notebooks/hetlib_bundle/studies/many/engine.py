r"""Perceptrons of one shape, stacked over seeds and learning rates and trained at once.

A layer of S seeds and R rates is a weight (S, R, out, in) and a bias (S, R, out). All networks of
a seed see the same samples in the same order from the same initial weights, and differ in their
rate alone. The loss of a step is the sum of all networks' losses: no network's gradient depends on
another one, so each is trained as if alone.

With the weights :math:`w_r / n_r` of the samples of replica r, the gradient of one pass is that of
replicas whose mean gradients are averaged with the weights :math:`w_r`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hetlib import Experiment
from hetlib.inputs import whole
from hetlib.training.setup import build_schedule

# Weight (S, R, out, in) and bias (S, R, out) of each layer.
Layers: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Stochastic gradient descent as the bundle's experiments do it.

    Attributes:
        momentum: Of the velocity.
        decay: L2 penalty, added to the gradient of weights and biases.
    """

    momentum: float = 0.9
    decay: float = 5e-4

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"`momentum` is {self.momentum!r}; it must be in 0 <= momentum < 1.")
        if not self.decay >= 0:
            raise ValueError(f"`decay` is {self.decay!r}; it must be >= 0.")


def perceptron(sizes: Sequence[int], seed: int) -> nn.Sequential:
    """Return one network: linear layers with ReLU between them; two sizes are a linear head.

    The caller's random state stays as it was.

    Args:
        sizes: Of the input, the hidden layers and the output.
        seed: Of its weights.
    """
    whole("len(sizes)", len(sizes), low=2)
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for before, after in pairwise(sizes):
            layers.append(nn.Linear(before, after))
            layers.append(nn.ReLU())
    return nn.Sequential(*layers[:-1])


def stack(networks: Sequence[nn.Sequential], rates: int) -> Layers:
    """Return the stacked layers of networks, one a seed, each as often as there are rates.

    Args:
        networks: From `perceptron`, of one shape.
        rates: How many learning rates each is trained with.
    """
    stacked = []
    for alike in zip(*map(_linear_layers, networks), strict=True):
        weight = torch.stack([layer.weight.detach() for layer in alike])
        bias = torch.stack([layer.bias.detach() for layer in alike])
        stacked.append((_repeat(weight, rates), _repeat(bias, rates)))
    return stacked


def _linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in network if isinstance(layer, nn.Linear)]


def _repeat(values: torch.Tensor, rates: int) -> torch.Tensor:
    """Return (S, ...) as (S, R, ...), a leaf of its own."""
    wide = values[:, None].expand(-1, rates, *values.shape[1:])
    return wide.clone().requires_grad_()


def outputs(layers: Layers, inputs: torch.Tensor) -> torch.Tensor:
    """Return what all networks make of their samples.

    Args:
        layers: Of S seeds and R rates.
        inputs: (S, n, features), the samples of each seed.

    Returns:
        (S, R, n, classes).
    """
    (weight, bias), *others = layers
    # the rates of a seed share its samples: one product a seed
    values = torch.einsum("snd,srhd->srnh", inputs, weight) + bias[:, :, None]
    for weight, bias in others:
        values = torch.einsum("srnd,srhd->srnh", values.relu(), weight) + bias[:, :, None]
    return values


def schedule(steps: int) -> list[float]:
    """Return the bundle's one-cycle schedule: the rate of each step over the peak.

    Args:
        steps: Of the whole training.
    """
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    moving = build_schedule(Experiment(schedule="onecycle"), optimizer, steps)
    factors = []
    for _ in range(steps):
        factors.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        moving.step()
    return factors


def train(
    layers: Layers,
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    *,
    steps: int,
    rates: Sequence[float],
    weights: np.ndarray,
    descent: Descent,
) -> None:
    """Train stacked networks in place.

    Args:
        layers: From `stack`.
        batches: The samples of each step: inputs (S, n, features) and labels (S, n).
        steps: How many of them.
        rates: Peak learning rates, (R,).
        weights: Of the samples in the gradient, (n,), or of each step, (steps, n).
        descent: Momentum and weight decay.
    """
    parameters = [parameter for layer in layers for parameter in layer]
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    peak = torch.tensor(rates, dtype=parameters[0].dtype)
    each_weight = torch.from_numpy(weights).to(peak.dtype).expand(steps, -1)
    for factor, of_step in zip(schedule(steps), each_weight, strict=True):
        inputs, labels = next(batches)
        losses = sample_losses(outputs(layers, inputs), labels)
        total = (losses * of_step).sum()
        gradients = torch.autograd.grad(total, parameters)
        _update(parameters, velocities, gradients, factor * peak, descent)


@torch.no_grad()
def _update(
    parameters: Sequence[torch.Tensor],
    velocities: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    rates: torch.Tensor,
    descent: Descent,
) -> None:
    """Do a step of SGD as torch does: the decay joins the gradient, the velocity is not damped."""
    for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
        slope = gradient.add(parameter, alpha=descent.decay)
        velocity.mul_(descent.momentum).add_(slope)
        rate = rates.view(1, -1, *[1] * (parameter.dim() - 2))
        parameter.sub_(rate * velocity)


def sample_losses(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each sample in each network, (S, R, n).

    Args:
        values: (S, R, n, classes).
        labels: (S, n).
    """
    alike = labels[:, None].expand(values.shape[:3])
    flat = F.cross_entropy(values.flatten(0, 2), alike.flatten(), reduction="none")
    return flat.view(alike.shape)


def one_seed(layers: Layers, seed: int) -> Layers:
    """Return the layers of one seed, (1, R, ...), with no gradient.

    Args:
        layers: Of all seeds.
        seed: Position of the seed among them.
    """
    only = slice(seed, seed + 1)
    return [(weight[only].detach(), bias[only].detach()) for weight, bias in layers]
