"""What replicas do in the tests of data sets."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import hetlib

# Samples of the replicas in the test's one step.
SHARES = (6, 2)


def problem() -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    """A small classifier and its batch; the second replica's samples are of one class."""
    torch.manual_seed(0)
    model = nn.Linear(5, 3).double()
    inputs = torch.randn(sum(SHARES), 5, dtype=torch.float64)
    targets = torch.tensor([0, 0, 0, 1, 0, 1, 2, 2])
    return model, inputs, targets


def weighted_gradient(rank: int, weights: torch.Tensor) -> torch.Tensor:
    """The gradient of the weighted mean, as this replica has it after one step."""
    model, inputs, targets = problem()
    mine = slice(sum(SHARES[:rank]), sum(SHARES[: rank + 1]))
    wrapped = DistributedDataParallel(model)
    labels = targets[mine]
    loss = F.cross_entropy(wrapped(inputs[mine]), labels, weight=weights)
    hetlib.balance(loss, count=weights[labels].sum()).backward()
    gradient = model.weight.grad
    assert gradient is not None
    return gradient
