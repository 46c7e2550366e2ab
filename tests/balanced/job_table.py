"""The table of the jobs, and those that need several networks, derivatives or other arithmetic."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

import hetlib
from tests.balanced import jobs
from tests.balanced.jobs import CLASSES, FEATURES, INPUTS, LABELS, SAMPLES, Balance, Job, mlp
from tests.balanced.more_jobs import MORE


class Chained(Job):
    """An encoder and a head in wrappers of their own, under one loss."""

    def networks(self) -> list[nn.Module]:
        return [mlp(FEATURES, 4), mlp(4, CLASSES)]

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        encoder, head = models
        balance(self.loss(lambda x: head(encoder(x)), indices)).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


class Forces(Job):
    """Energies and their slopes at the places, both compared with known ones."""

    def networks(self) -> list[nn.Module]:
        return [mlp(FEATURES, 1)]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        places = INPUTS[indices].clone().requires_grad_()
        energies = model(places)
        forces = -torch.autograd.grad(energies.sum(), places, create_graph=True)[0]
        wanted = jobs.numbers(SAMPLES, FEATURES, seed=3)[indices]
        return (energies - wanted[:, :1]).square().mean() + F.mse_loss(forces, wanted)


class Distilled(Job):
    """A frozen teacher beside the network, and the loss of a second, masked output."""

    def networks(self) -> list[nn.Module]:
        return [mlp(FEATURES, CLASSES)]

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)
        teacher = mlp(FEATURES, CLASSES).double().requires_grad_(False)
        x = INPUTS[indices]
        found = F.log_softmax(model(x), 1)
        soft = F.kl_div(found, teacher(x).softmax(1), reduction="batchmean")
        return soft + F.nll_loss(found, LABELS[indices])


class OverAll(Job):
    """BatchNorm over all replicas, whose momentum makes the last, short batch count as much."""

    def networks(self) -> list[nn.Module]:
        norm = nn.BatchNorm1d(5)
        network = nn.Sequential(nn.Linear(FEATURES, 5), norm, nn.Tanh(), nn.Linear(5, CLASSES))
        return [hetlib.convert_batchnorm(network)]


class Clipped(Job):
    """The gradient is cut at a norm, which each replica takes of the reduced one."""

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        balance(self.loss(models[0], indices)).backward()
        nn.utils.clip_grad_norm_(models[0].parameters(), 0.1)
        optimizers[0].step()
        optimizers[0].zero_grad()


class Scaled(Clipped):
    """A scaled loss, whose gradient is scaled back and cut."""

    def __init__(self) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def step(self, models: Any, optimizers: Any, indices: torch.Tensor, balance: Balance) -> None:
        loss = balance(self.loss(models[0], indices))
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizers[0])
        nn.utils.clip_grad_norm_(models[0].parameters(), 0.1)
        self.scaler.step(optimizers[0])
        self.scaler.update()
        optimizers[0].zero_grad()


class ScaledBfloat16(Scaled):
    """The same through layers of bfloat16."""

    tolerance = 2e-2

    def loss(self, model: nn.Module, indices: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found = model(INPUTS[indices].float())
        return F.cross_entropy(found.float(), LABELS[indices])

    def networks(self) -> list[nn.Module]:
        return [OfFloats()]


class OfFloats(nn.Module):
    """A network that keeps its weights in float32, whatever it is moved to."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(FEATURES, CLASSES)

    def double(self) -> "OfFloats":
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Compressed(Job):
    """Gradients that are sent as float16."""

    tolerance = 1e-3

    def prepare(self, models: Any) -> None:
        for model in models:
            model.register_comm_hook(None, default_hooks.fp16_compress_hook)


JOBS: dict[str, Job] = {
    "plain": Job(),
    "time first": jobs.TimeFirst(),
    "list of images": jobs.ListOfImages(),
    "shared adjacency": jobs.SharedAdjacency(),
    "dataclass": jobs.DataclassOutput(),
    "dict of its own": jobs.DictOutput(),
    "namespace": jobs.NamespaceOutput(),
    "loss inside": jobs.LossInside(),
    "in place": jobs.ChangedInPlace(),
    "penalties": jobs.Penalties(),
    "GAN": jobs.Adversarial(),
    "chained": Chained(),
    "distilled": Distilled(),
    "gradient penalty": jobs.GradientPenalty(),
    "forces": Forces(),
    "SAM": jobs.Sharpness(),
    "LBFGS": jobs.Closure(),
    "micro-batches": jobs.MicroBatches(),
    "checkpointing": jobs.Checkpointing(),
    "frozen, shared, unused": jobs.FrozenSharedUnused(),
    "tokens": jobs.Tokens(),
    "announced tokens": jobs.AnnouncedTokens(),
    "two views": jobs.Contrastive(),
    "batchnorm over all": OverAll(),
    "clipped": Clipped(),
    "scaled": Scaled(),
    "scaled, bfloat16": ScaledBfloat16(),
    "compressed": Compressed(),
    "joined": jobs.Joined(),
    **MORE,
}
