"""Situations of real training: a table, and what each needs of data, network and loss."""

import contextlib
import dataclasses
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 3
BANDS = 4
SIZE = 8
# of the classes
WEIGHTS = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
# what a loss leaves out
UNLABELLED = -100


class Net(nn.Module):
    """A small CNN with the oddities that a situation asks for."""

    def __init__(self, kind: str = "", seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.kind = kind
        self.first = nn.Conv2d(BANDS, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.Identity()
        if kind == "batchnorm":
            self.norm = nn.BatchNorm2d(6)
        self.head = nn.Conv2d(6, CLASSES, 1) if kind == "pixels" else nn.Linear(6, CLASSES)
        if kind == "unused":
            self.spare = nn.Linear(3, 3)
        if kind == "frozen":
            self.first.requires_grad_(False)
        self.double()

    def forward(self, x: torch.Tensor, shift: float = 0.0) -> Any:
        x = F.relu(self.first(x + shift))
        repeats = 2 if self.kind == "shared" else 1
        for _ in range(repeats):
            x = F.relu(self.norm(self.second(x)))
        if self.kind != "pixels":
            x = x.mean((2, 3))
        out = self.head(x)
        if self.kind == "dict":
            return {"logits": out, "note": [x.detach(), 7]}
        return out


# A number for each replica.
Sizes: TypeAlias = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Situation:
    # a step of 11, then the last one of 7
    shares: Sizes = (7, 0, 4)
    samples: int = 18
    # most samples of a micro-batch, by rank
    parts: Sizes | None = None
    # of each sample through the network, in one loss
    passes: int = 1
    reduction: str = "mean"
    net: str = ""
    # "pixels" or "weights": counts that only the rank knows
    counted: str = ""
    ddp: tuple[tuple[str, Any], ...] = ()
    hook: str = ""
    # autocast to bfloat16 or float16
    precision: str = ""
    # "inside" or "outside" DDP
    compiled: str = ""
    channels_last: bool = False
    clip: float = 0.0
    penalty: float = 0.0
    check: bool = False
    # by rank; the CPU without them
    devices: tuple[str, ...] = ()
    tolerance: float = 1e-12

    def device(self, rank: int) -> str:
        if not self.devices:
            return "cpu"
        return self.devices[rank]

    def most(self, rank: int, samples: int) -> int:
        """Return the most samples of a micro-batch of a local batch, at least 1."""
        if self.parts is None:
            return max(samples, 1)
        return self.parts[rank]


def options(**of_ddp: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(of_ddp.items())


S = Situation
# every replica has samples, and takes them in parts
FULL = (7, 2, 4)
PARTS = (3, 2, 1)
# a replica has none, and the others take different numbers of parts
GAP = (9, 0, 4)
UNEVEN_PARTS = (2, 5, 4)

SITUATIONS = {
    "short last step, empty share": S(),
    "one sample": S(shares=(10, 1, 0), samples=23),
    "equal shares": S(shares=(4, 4, 4), samples=30),
    "equal accumulation": S(shares=(6, 6, 6), samples=36, parts=(2, 2, 2)),
    "uneven accumulation": S(shares=GAP, samples=30, parts=UNEVEN_PARTS),
    "uneven accumulation, checked": S(
        shares=(9, 3, 4),
        samples=30,
        parts=UNEVEN_PARTS,
        check=True,
    ),
    "valid pixels": S(net="pixels", counted="pixels", check=True),
    "valid pixels, accumulated": S(
        net="pixels",
        counted="pixels",
        shares=FULL,
        parts=PARTS,
    ),
    "class weights": S(counted="weights", shares=FULL),
    "sum": S(reduction="sum"),
    "sum, accumulated": S(reduction="sum", shares=FULL, parts=PARTS),
    "clipped": S(clip=0.05),
    "penalty on the weights": S(penalty=0.1),
    "two passes": S(passes=2),
    "two passes, accumulated": S(passes=2, shares=FULL, parts=PARTS),
    "outputs in a dict": S(net="dict", check=True),
    "frozen": S(net="frozen"),
    "unused": S(net="unused", ddp=options(find_unused_parameters=True), check=True),
    "shared": S(net="shared"),
    "batchnorm": S(net="batchnorm", check=True, samples=29, tolerance=1e-10),
    "static graph": S(ddp=options(static_graph=True)),
    "bucket view": S(
        ddp=options(gradient_as_bucket_view=True),
        shares=GAP,
        samples=30,
        parts=UNEVEN_PARTS,
    ),
    "small buckets": S(ddp=options(bucket_cap_mb=1e-4)),
    "channels last": S(channels_last=True),
    "fp16 hook": S(hook="fp16", tolerance=2e-3),
    "bf16 hook": S(hook="bf16", tolerance=2e-2),
    "PowerSGD": S(hook="power", samples=44, tolerance=1e-6),
    "bfloat16": S(precision="bfloat16", tolerance=3e-2),
    "float16": S(precision="float16", tolerance=5e-3),
    "compiled inside": S(compiled="inside", shares=FULL, samples=26),
    "compiled outside": S(compiled="outside", shares=FULL, samples=26),
}


def make(s: Situation) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels, the same in every process."""
    generator = torch.Generator().manual_seed(s.samples)
    shape = (s.samples, BANDS, SIZE, SIZE)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = _labels(s, generator)
    if s.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    return images, labels


def _labels(s: Situation, generator: torch.Generator) -> torch.Tensor:
    by_pixel = s.net == "pixels"
    shape = (s.samples, SIZE, SIZE) if by_pixel else (s.samples,)
    labels = torch.randint(0, CLASSES, shape, generator=generator)
    if by_pixel:
        hidden = torch.rand(shape, generator=generator) < 0.4
        labels[hidden] = UNLABELLED
        # whole samples without a valid pixel
        labels[::3] = UNLABELLED
    return labels


def count(s: Situation, labels: torch.Tensor) -> torch.Tensor:
    """Return what the mean of a loss divides by."""
    if s.counted == "weights":
        weights = WEIGHTS.to(labels.device)
        return weights[labels].sum()
    return (labels != UNLABELLED).sum()


def loss_of(
    s: Situation, model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    outputs = [model(images, shift=0.1 * k) for k in range(s.passes)]
    logits: Any = sum(map(_logits, outputs))
    if s.precision:
        logits = logits.float()
    weight = None
    if s.counted == "weights":
        weight = WEIGHTS.to(labels.device)
    loss = F.cross_entropy(logits, labels, weight=weight, reduction=s.reduction)
    if s.penalty:
        squares = sum(weight.square().sum() for weight in model.parameters())
        loss = loss + s.penalty * squares
    return loss


def _logits(output: Any) -> torch.Tensor:
    if isinstance(output, dict):
        return output["logits"]
    return output


def gradient(model: nn.Module) -> torch.Tensor:
    """Return the gradient of all weights, zero where there is none, ``(weights,)``."""
    found = []
    for weight in model.parameters():
        one = torch.zeros_like(weight) if weight.grad is None else weight.grad
        found.append(one.flatten())
    return torch.cat(found).clone()


def autocast(s: Situation, device: torch.device) -> Any:
    if not s.precision:
        return contextlib.nullcontext()
    return torch.autocast(device.type, getattr(torch, s.precision))
