"""Further jobs: inputs, outputs and wrappers of kinds that a guess from a tensor's shape misses."""

import copy
import dataclasses
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.balanced.jobs import (
    CLASSES,
    FEATURES,
    INPUTS,
    LABELS,
    Balance,
    DataclassOutput,
    Job,
    mlp,
    numbers,
)

# Inputs


@dataclasses.dataclass
class Sequences:
    """Sequences one after another, and where each of them begins."""

    values: torch.Tensor
    begins: torch.Tensor


class OfSequences(nn.Module):
    """A network whose first tensor has other rows than there are samples."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(FEATURES, CLASSES)

    def forward(self, batch: Sequences) -> torch.Tensor:
        rows = self.body(batch.values)
        number = torch.arange(len(rows))
        return F.embedding_bag(number, rows, batch.begins, mode="mean")


class Ragged(Job):
    """A batch that is a dataclass, in which samples have rows in other numbers."""

    def networks(self) -> list[nn.Module]:
        return [OfSequences()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        lengths = indices % 3 + 1
        values = INPUTS[indices].repeat_interleave(lengths, 0)
        batch = Sequences(values, lengths.cumsum(0) - lengths)
        return F.cross_entropy(model(batch), LABELS[indices])


class AtLevel(nn.Module):
    """A network that is given a number without dimensions first."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(FEATURES, CLASSES)

    def forward(self, level: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return self.body(x * level)


class LevelFirst(Job):
    """A noise level for all samples comes before them."""

    def networks(self) -> list[nn.Module]:
        return [AtLevel()]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        level = torch.tensor(0.5, dtype=torch.float64)
        return F.cross_entropy(model(level, INPUTS[indices]), LABELS[indices])


# Outputs


class Levels(list):
    """A list of a class of its own."""

    def __init__(self, main: torch.Tensor, aux: list[torch.Tensor]) -> None:
        super().__init__([main, *aux])

    @property
    def main(self) -> torch.Tensor:
        return self[0]

    @property
    def aux(self) -> list[torch.Tensor]:
        return self[1:]


class Named(NamedTuple):
    """A tuple with names."""

    main: torch.Tensor
    aux: list[torch.Tensor]


class ListOutput(DataclassOutput):
    """A network that returns a list of a class of its own."""

    kind = Levels


class TupleOutput(DataclassOutput):
    """A network that returns a tuple with names."""

    kind = Named


# Wrappers and copies


class WrapperInEvaluation(Job):
    """The wrapper is in evaluation, the network within in training."""

    def prepare(self, models: Any) -> None:
        for model in models:
            model.eval()
            model.module.train()


class Averaged(Job):
    """A moving average of the wrapped network's weights, which becomes the network."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        averaged = AveragedModel(models[0], multi_avg_fn=get_ema_multi_avg_fn(0.5))
        super().step(models, optimizers, indices, balance)
        averaged.update_parameters(models[0])
        super().step(models, optimizers, indices, balance)
        averaged.update_parameters(models[0])
        inner = getattr(averaged.module, "module", averaged.module)
        network = getattr(models[0], "module", models[0])
        network.load_state_dict(inner.state_dict())


class Teacher(Job):
    """A teacher that follows the weights, whose outputs are a part of the loss."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        network = getattr(models[0], "module", models[0])
        teacher = copy.deepcopy(network).requires_grad_(False)
        super().step(models, optimizers, indices, balance)
        outputs = models[0](INPUTS[indices])
        balance(F.mse_loss(outputs, teacher(INPUTS[indices].flip(1)))).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


# Backward passes


class TwoLosses(Job):
    """Two losses of one pass, each balanced, in one backward pass from other gradients than 1."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        outputs = models[0](INPUTS[indices])
        first = balance(F.cross_entropy(outputs, LABELS[indices]))
        second = balance(outputs.square().mean())
        half = torch.tensor(0.5, dtype=torch.float64)
        torch.autograd.backward([first, second], [half, half / 2])
        optimizers[0].step()
        optimizers[0].zero_grad()


# Networks that a batch without rows goes through


class Attention(Job):
    """Attention over parts of a sample."""

    def networks(self) -> list[nn.Module]:
        layer = nn.TransformerEncoderLayer(2, 1, 4, dropout=0.0, batch_first=True)
        head = nn.Linear(FEATURES, CLASSES)
        return [nn.Sequential(nn.Unflatten(1, (2, 2)), layer, nn.Flatten(), head)]


class Convolutions(Job):
    """Convolution, group norm and pooling."""

    def networks(self) -> list[nn.Module]:
        layers = [nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.MaxPool2d(2)]
        head = nn.Linear(4, CLASSES)
        return [nn.Sequential(nn.Unflatten(1, (1, 2, 2)), *layers, nn.Flatten(), head)]


class Masked(Job):
    """A mean over the samples that a mask leaves, which may be none of a replica's."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        mask = (indices % 4 == 0).double()
        each = F.cross_entropy(models[0](INPUTS[indices]), LABELS[indices], reduction="none")
        loss = (each * mask).sum() / mask.sum().clamp(min=1)
        balance(loss, count=mask.sum()).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class Weighted(Masked):
    """A mean by weights of samples, which is divided by their sum within the loss."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        weights = numbers(CLASSES, seed=4).abs()
        loss = F.cross_entropy(models[0](INPUTS[indices]), LABELS[indices], weight=weights)
        balance(loss, count=weights[LABELS[indices]].sum()).backward()
        optimizers[0].step()
        optimizers[0].zero_grad()


class SparseGradients(Job):
    """Words of a table, whose gradient has a row for each word that was used."""

    def networks(self) -> list[nn.Module]:
        return [nn.Sequential(nn.EmbeddingBag(7, 4, sparse=True), mlp(4, CLASSES))]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        words = torch.stack([indices % 7, indices % 5, indices % 3], 1)
        return F.cross_entropy(model(words), LABELS[indices])


MORE: dict[str, Job] = {
    "sparse gradients": SparseGradients(),
    "ragged dataclass": Ragged(),
    "level first": LevelFirst(),
    "list of its own": ListOutput(),
    "named tuple": TupleOutput(),
    "wrapper in evaluation": WrapperInEvaluation(),
    "averaged": Averaged(),
    "teacher": Teacher(),
    "two losses": TwoLosses(),
    "attention": Attention(),
    "convolutions": Convolutions(),
    "masked": Masked(),
    "weighted": Weighted(),
}
