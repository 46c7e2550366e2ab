"""Whole trainings of many kinds: each trains in replicas as one process does on the same batches.

A job knows nothing of replicas but the function that weights a loss.
"""

import contextlib
import dataclasses
import types
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

SAMPLES = 19
FEATURES = 4
CLASSES = 3

# What weights a loss; without replicas the loss as it is.
Balance = Callable[..., torch.Tensor]


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


INPUTS = numbers(SAMPLES, FEATURES)
LABELS = torch.arange(SAMPLES) % CLASSES


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))


class Job:
    """A training: its networks, its optimizer, and a step of it."""

    # options of DDP
    ddp: dict[str, Any] = {}  # noqa: RUF012 -- none of the jobs changes it

    # error of the weights that rounding explains
    tolerance = 1e-12

    def networks(self) -> list[nn.Module]:
        return [mlp(FEATURES, CLASSES)]

    def around(self, models: Any) -> contextlib.AbstractContextManager[Any]:
        """Return what an epoch is within."""
        return contextlib.nullcontext()

    def prepare(self, models: Any) -> None:
        """Change what wraps the networks."""

    def optimizers(self, networks: list[nn.Module]) -> list[Any]:
        return [
            torch.optim.SGD([w for w in network.parameters() if w.requires_grad], lr=0.1)
            for network in networks
        ]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(INPUTS[indices]), LABELS[indices])

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        balance(self.loss(models[0], indices)).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class Joined(Job):
    """An epoch within DDP's join, in which no replica runs out before the others."""

    def around(self, models: Any) -> contextlib.AbstractContextManager[Any]:
        return getattr(models[0], "join", contextlib.nullcontext)()


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(2, 3)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][-1])


class TimeFirst(Job):
    """A recurrent network whose sequences come with the time first."""

    def networks(self) -> list[nn.Module]:
        return [Recurrent()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        sequences = numbers(6, SAMPLES, 2)[:, indices]
        return F.cross_entropy(model(sequences), LABELS[indices])


class OfImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2, CLASSES)

    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        found = [self.first(image).mean((1, 2)) for image in images]
        rows = torch.stack(found) if found else self.head.weight.new_zeros(0, 2)
        return self.head(rows)


class ListOfImages(Job):
    """A network that takes a list of images, each of its own size."""

    # no image reaches the convolution in an empty list
    ddp = {"find_unused_parameters": True}  # noqa: RUF012

    def networks(self) -> list[nn.Module]:
        return [OfImages()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        images = [numbers(1, 4 + index % 3, 5, seed=index) for index in indices.tolist()]
        return F.cross_entropy(model(images), LABELS[indices])


class OnGraph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(1, 4)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, adjacency: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        mixed = torch.einsum("ij,njk->nik", adjacency, torch.tanh(self.mix(x[..., None])))
        return self.head(mixed.sum(2))


class SharedAdjacency(Job):
    """A graph network: one adjacency matrix for all samples comes first."""

    def networks(self) -> list[nn.Module]:
        return [OnGraph()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        adjacency = numbers(FEATURES, FEATURES, seed=9)
        return F.cross_entropy(model(adjacency, INPUTS[indices]), LABELS[indices])


@dataclasses.dataclass
class Scores:
    main: torch.Tensor
    aux: list[torch.Tensor]


class ByName(dict):
    """A dict whose values are attributes too, as many libraries return."""

    __getattr__ = dict.__getitem__


class TwoHeads(nn.Module):
    def __init__(self, kind: type) -> None:
        super().__init__()
        self.kind = kind
        self.body = mlp(FEATURES, CLASSES)
        self.aux = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> Any:
        return self.kind(main=self.body(x), aux=[self.aux(x)])


class DataclassOutput(Job):
    """A network that returns a dataclass, with a list in it."""

    kind: type = Scores

    def networks(self) -> list[nn.Module]:
        return [TwoHeads(self.kind)]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        found = model(INPUTS[indices])
        labels = LABELS[indices]
        return F.cross_entropy(found.main, labels) + 0.4 * F.cross_entropy(found.aux[0], labels)


class NamespaceOutput(DataclassOutput):
    """A network that returns a plain object with attributes."""

    kind = types.SimpleNamespace


class DictOutput(DataclassOutput):
    """A network that returns a dict of a class of its own."""

    kind = ByName


class WithLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": F.cross_entropy(self.body(x), labels)}


class LossInside(Job):
    """A network that returns its own loss."""

    def networks(self) -> list[nn.Module]:
        return [WithLoss()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        return model(INPUTS[indices], labels=LABELS[indices])["loss"]


class ChangedInPlace(Job):
    """The outputs are changed in place behind the network, and the loss behind its weight."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        outputs = models[0](INPUTS[indices])
        outputs.mul_(0.5)
        outputs[:, 0].add_(1.0)
        loss = balance(F.cross_entropy(outputs, LABELS[indices]))
        loss.div_(2)
        loss.backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class Penalties(Job):
    """A penalty on the weights, and one on a hidden layer's activations."""

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        network = getattr(model, "module", model)
        kept: list[torch.Tensor] = []
        handle = network[1].register_forward_hook(lambda *of: kept.append(of[2]))
        loss = super().loss(model, indices)
        handle.remove()
        weights = sum(weight.square().sum() for weight in model.parameters())
        return loss + 0.1 * weights + 0.2 * kept[0].square().mean()


class Adversarial(Job):
    """A GAN: two networks, two optimizers, two losses of one batch."""

    def networks(self) -> list[nn.Module]:
        return [mlp(2, FEATURES), mlp(FEATURES, 1)]

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        generator, critic = models
        made = generator(numbers(SAMPLES, 2)[indices])
        seen = critic(torch.cat([INPUTS[indices], made.detach()]))
        real = seen[: len(indices)]
        fake = seen[len(indices) :]
        balance(F.softplus(-real).mean() + F.softplus(fake).mean()).backward()
        optimizers[1].step()
        optimizers[1].zero_grad()

        balance(F.softplus(-critic(made)).mean()).backward()
        optimizers[0].step()
        for optimizer in optimizers:
            optimizer.zero_grad()


class GradientPenalty(Job):
    """A critic whose loss holds the slope of its scores at the inputs."""

    def networks(self) -> list[nn.Module]:
        return [mlp(FEATURES, 1)]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        inputs = INPUTS[indices].clone().requires_grad_()
        scores = model(inputs)
        slope = torch.autograd.grad(scores.sum(), inputs, create_graph=True)[0]
        return scores.mean() + 10 * (slope.square().sum(1) - 1).square().mean()


class Sharpness(Job):
    """SAM: a second pass of the same batch at weights moved along the gradient."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        weights = list(models[0].parameters())
        balance(self.loss(models[0], indices)).backward()
        norm = torch.stack([weight.grad.square().sum() for weight in weights]).sum().sqrt()
        moves = [0.05 * weight.grad / norm for weight in weights]
        with torch.no_grad():
            torch._foreach_add_(weights, moves)
        optimizers[0].zero_grad()
        balance(self.loss(models[0], indices)).backward()
        with torch.no_grad():
            torch._foreach_sub_(weights, moves)
        optimizers[0].step()
        optimizers[0].zero_grad()


class Closure(Job):
    """LBFGS, which asks for the same batch's gradient several times."""

    def optimizers(self, networks: list[nn.Module]) -> list[Any]:
        # A change of the loss, which each replica has its own of, must not end its search.
        return [
            torch.optim.LBFGS(
                networks[0].parameters(),
                lr=0.01,
                max_iter=3,
                history_size=1,
                tolerance_change=0.0,
            )
        ]

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        def closure() -> torch.Tensor:
            optimizers[0].zero_grad()
            loss = balance(self.loss(models[0], indices))
            loss.backward()
            return loss

        optimizers[0].step(closure)


class MicroBatches(Job):
    """Parts of at most two samples, in other numbers on each replica, exchanged with the last."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        *early, last = indices.split(2)
        for part in early:
            with getattr(models[0], "no_sync", contextlib.nullcontext)():
                self._backward(models[0], part, len(indices), balance)
        self._backward(models[0], last, len(indices), balance)
        optimizers[0].step()
        optimizers[0].zero_grad()

    def _backward(self, model: Any, part: torch.Tensor, whole: int, balance: Balance) -> None:
        balance(self.loss(model, part), samples=len(part), whole=whole).backward()


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = mlp(FEATURES, FEATURES)
        self.second = mlp(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(checkpoint(self.first, x, use_reentrant=False))


class Checkpointing(Job):
    """Activations that are computed again in the backward pass."""

    def networks(self) -> list[nn.Module]:
        return [Checkpointed()]


class OddWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, FEATURES)
        self.again = nn.Linear(FEATURES, FEATURES)
        self.again.weight = self.first.weight
        self.fixed = nn.Linear(FEATURES, FEATURES).requires_grad_(False)
        self.spare = nn.Linear(2, 2)
        self.head = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.fixed(self.again(torch.tanh(self.first(x))))))


class FrozenSharedUnused(Job):
    """Weights that are frozen, used twice, or not used."""

    ddp = {"find_unused_parameters": True}  # noqa: RUF012

    def networks(self) -> list[nn.Module]:
        return [OddWeights()]


class Tokens(Job):
    """A mean over tokens, which each replica counts; one of its batches may have none."""

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(indices)
        return F.cross_entropy(model(INPUTS[indices]), tokens, ignore_index=-100)

    def tokens(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.where(indices % 3 == 0, LABELS[indices], -100)

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        count = (self.tokens(indices) >= 0).sum()
        balance(self.loss(models[0], indices), count=count).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class AnnouncedTokens(Tokens):
    """The same, whose counts are summed during the forward pass."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        announced = balance.announce((self.tokens(indices) >= 0).sum())  # type: ignore[attr-defined]
        balance(self.loss(models[0], indices), count=announced).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class Contrastive(Job):
    """Two views of each sample in one pass; the loss is the mean over all rows."""

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        views = torch.cat([INPUTS[indices], INPUTS[indices].flip(1)])
        return F.cross_entropy(model(views), LABELS[indices].repeat(2))
