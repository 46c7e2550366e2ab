"""One small training for all frameworks, and what one process makes of it.

Two replicas take 12 and 4 samples of a global batch of 16. The last batch of an epoch has 7, of
which they get 5 and 2: whoever weights by the plan, or not at all, ends elsewhere.
"""

import contextlib
import runpy
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset, default_collate

import hetlib
from hetlib.balanced import loss as balancing
from hetlib_bundle.paths import NOTEBOOKS
from tests.integrations import job

SHARES = (12, 4)
SAMPLES = 71
EPOCHS = 2
STEPS = 5  # of an epoch
RATE = 0.1
MOMENTUM = 0.9
UNLABELLED = 2  # the class that stands for no label, where a loss leaves it out
MUTANTS = ("unweighted", "planned")


class Samples(Dataset[dict[str, torch.Tensor]]):
    """Inputs in float64 with the number of each sample beside them."""

    def __init__(self, size: int = SAMPLES) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(size, 6, generator=generator, dtype=torch.float64)
        self.labels = torch.randint(0, 3, (size,), generator=generator)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "inputs": self.inputs[index],
            "labels": self.labels[index],
            "number": torch.tensor(index),
        }


def whole(size: int) -> dict[str, torch.Tensor]:
    """Return some samples as one batch."""
    data = Samples(size)
    return default_collate([data[index] for index in range(size)])


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def optimizer_of(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM)


def loss_of(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean over the batch's samples."""
    return F.cross_entropy(net(batch["inputs"]), batch["labels"])


def labelled(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return how many of a batch's samples have a label."""
    return batch["labels"].ne(UNLABELLED).sum()


def labelled_loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean over the samples that have a label."""
    return F.cross_entropy(net(batch["inputs"]), batch["labels"], ignore_index=UNLABELLED)


def loader(**options: Any) -> hetlib.BalancedLoader:
    return hetlib.BalancedLoader(Samples(), SHARES, seed=5, **options)


def weights_of(net: nn.Module) -> torch.Tensor:
    """Return all weights in one row, also of a network that is spread over the replicas."""
    parts = []
    for weight in net.parameters():
        whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
        parts.append(whole.detach().flatten().clone())
    return torch.cat(parts)


def batches(epoch: int, size: int = SAMPLES) -> list[torch.Tensor]:
    """Return the numbers of the samples in each global batch of an epoch."""
    sampler = hetlib.BalancedSampler(size, [sum(SHARES)], seed=5, rank=0)
    return list(torch.from_numpy(sampler.permutation(epoch)).split(sum(SHARES)))


def one_process(
    make: Callable[[], nn.Module] = network,
    loss: Callable[[nn.Module, Any], torch.Tensor] = loss_of,
    data: Any | None = None,
    *,
    accumulate: int = 1,
    window: str = "fixed",
    steps: int = STEPS,
) -> torch.Tensor:
    """Return the weights after all epochs in one process that sees whole batches.

    Args:
        make: Makes the network.
        loss: Of the network and a batch.
        data: The data set; ``None`` is `Samples`.
        accumulate: Batches of the window that makes a step; an epoch's last one may be shorter.
        window: What the losses in a window are divided by: ``"fixed"`` is ``accumulate``, ``"own"``
            the batches that it has, ``"samples"`` makes a mean over its samples.
        steps: Batches of each epoch.
    """
    data = data or Samples()
    net = make()
    optimizer = optimizer_of(net)
    for epoch in range(EPOCHS):
        order = batches(epoch, len(data))[:steps]
        for first in range(0, steps, accumulate):
            parts = order[first : first + accumulate]
            for indices in parts:
                batch = default_collate([data[int(i)] for i in indices])
                part = _part_of_window(window, indices, parts, accumulate)
                (loss(net, batch) * part).backward()
            optimizer.step()
            optimizer.zero_grad()
    return weights_of(net)


def _part_of_window(
    window: str, indices: torch.Tensor, parts: list[torch.Tensor], accumulate: int
) -> float:
    if window == "samples":
        return len(indices) / sum(len(part) for part in parts)
    return 1 / {"fixed": accumulate, "own": len(parts)}[window]


@contextlib.contextmanager
def mutated(mutant: str) -> Iterator[None]:
    """Weight every loss by 1, or by the plan in place of what was dealt; "" is as it is."""
    weigh = balancing.weigh

    def unweighted(tensor: torch.Tensor, factor: Any) -> torch.Tensor:
        return tensor

    def planned(tensor: torch.Tensor, factor: Any) -> torch.Tensor:
        share = SHARES[dist.get_rank()]
        return weigh(tensor, len(SHARES) * share / sum(SHARES))

    wrong = {"": weigh, "unweighted": unweighted, "planned": planned}[mutant]
    with mock.patch.object(balancing, "weigh", wrong):
        yield


def assert_exact(found: list[torch.Tensor], reference: torch.Tensor) -> None:
    """Require the weights of all replicas to be those of one process."""
    for weights in found:
        torch.testing.assert_close(weights, reference, rtol=0, atol=1e-9)


def assert_same_training(
    found: list[dict[str, Any]], part: str, way: str, reference: torch.Tensor
) -> None:
    """Require one way to train to end as one process does, with each sample once an epoch.

    Args:
        found: What each replica returned: by part and way the weights, and the samples seen.
        part: Of what they returned.
        way: Of that part.
        reference: The weights of one process.
    """
    weights = [replica[part][way][0] for replica in found]
    seen = [replica[part][way][1] for replica in found]
    assert_exact(weights, reference)
    assert_each_once(seen)


def assert_wrong(found: list[torch.Tensor], reference: torch.Tensor) -> None:
    """Require a mutant's weights to be visibly others."""
    for weights in found:
        assert (weights - reference).abs().max() > 1e-4


def assert_each_once(seen: list[list[int]]) -> None:
    """Require the replicas to have trained every sample once an epoch.

    Args:
        seen: The numbers of the samples, for each replica in the order of its training.
    """
    trained = sorted(number for numbers in seen for number in numbers)
    assert trained == sorted(list(range(SAMPLES)) * EPOCHS)


def run_script(name: str) -> dict[str, Any]:
    """Run a script of the notebooks' folder in this job, and return its names."""
    job.meet_elsewhere()
    return runpy.run_path(str(NOTEBOOKS / "scripts" / f"{name}.py"))
