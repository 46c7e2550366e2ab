"""Situations of real training: what replicas make of them, and what one process makes of the same batch."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power
from torch.nn.parallel import DistributedDataParallel

import hetlib

CLASSES, BANDS, SIZE = 3, 4, 8
WEIGHTS = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)  # of the classes


class Net(nn.Module):
    """A small CNN with the oddities that a situation asks for."""

    def __init__(self, kind: str = "", seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.kind = kind
        self.first, self.second = nn.Conv2d(BANDS, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6) if kind == "batchnorm" else nn.Identity()
        self.head = nn.Conv2d(6, CLASSES, 1) if kind == "pixels" else nn.Linear(6, CLASSES)
        if kind == "unused":
            self.spare = nn.Linear(3, 3)
        if kind == "frozen":
            self.first.requires_grad_(False)
        self.double()

    def forward(self, x: torch.Tensor, shift: float = 0.0) -> Any:
        x = F.relu(self.first(x + shift))
        for _ in range(2 if self.kind == "shared" else 1):
            x = F.relu(self.norm(self.second(x)))
        out = self.head(x if self.kind == "pixels" else x.mean((2, 3)))
        return {"logits": out, "note": [x.detach(), 7]} if self.kind == "dict" else out


@dataclasses.dataclass(frozen=True)
class Situation:
    shares: tuple[int, ...] = (7, 0, 4)  # a step of 11, then the last one of 7
    samples: int = 18
    parts: tuple[int, ...] | None = None  # most samples of a micro-batch, by rank
    passes: int = 1
    reduction: str = "mean"
    net: str = ""
    counted: str = ""  # "pixels" or "weights": counts that only the rank knows
    ddp: tuple[tuple[str, Any], ...] = ()
    hook: str = ""
    precision: str = ""  # autocast to bfloat16 or float16
    compiled: str = ""  # "inside" or "outside" DDP
    channels_last: bool = False
    clip: float = 0.0
    penalty: float = 0.0
    check: bool = False
    devices: tuple[str, ...] = ()  # by rank; the CPU without them
    tolerance: float = 1e-12


S = Situation
SITUATIONS = {
    "short last step, empty share": S(),
    "one sample": S(shares=(10, 1, 0), samples=23),
    "equal shares": S(shares=(4, 4, 4), samples=30),
    "equal accumulation": S(shares=(6, 6, 6), samples=36, parts=(2, 2, 2)),
    "uneven accumulation": S(shares=(9, 0, 4), samples=30, parts=(2, 5, 4)),
    "uneven accumulation, checked": S(shares=(9, 3, 4), samples=30, parts=(2, 5, 4), check=True),
    "valid pixels": S(net="pixels", counted="pixels", check=True),
    "valid pixels, accumulated": S(
        net="pixels", counted="pixels", parts=(3, 2, 1), shares=(7, 2, 4)
    ),
    "class weights": S(counted="weights", shares=(7, 2, 4)),
    "sum": S(reduction="sum"),
    "sum, accumulated": S(reduction="sum", shares=(7, 2, 4), parts=(3, 2, 1)),
    "clipped": S(clip=0.05),
    "penalty on the weights": S(penalty=0.1),
    "two passes": S(passes=2),
    "two passes, accumulated": S(passes=2, shares=(7, 2, 4), parts=(3, 2, 1)),
    "outputs in a dict": S(net="dict", check=True),
    "frozen": S(net="frozen"),
    "unused": S(net="unused", ddp=(("find_unused_parameters", True),), check=True),
    "shared": S(net="shared"),
    "batchnorm": S(net="batchnorm", check=True, samples=29, tolerance=1e-10),
    "static graph": S(ddp=(("static_graph", True),)),
    "bucket view": S(
        ddp=(("gradient_as_bucket_view", True),), shares=(9, 0, 4), samples=30, parts=(2, 5, 4)
    ),
    "small buckets": S(ddp=(("bucket_cap_mb", 1e-4),)),
    "channels last": S(channels_last=True),
    "fp16 hook": S(hook="fp16", tolerance=2e-3),
    "bf16 hook": S(hook="bf16", tolerance=2e-2),
    "PowerSGD": S(hook="power", samples=44, tolerance=1e-6),
    "bfloat16": S(precision="bfloat16", tolerance=3e-2),
    "float16": S(precision="float16", tolerance=5e-3),
    "compiled inside": S(compiled="inside", shares=(7, 2, 4), samples=26),
    "compiled outside": S(compiled="outside", shares=(7, 2, 4), samples=26),
}


def make(s: Situation) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(s.samples)
    images = torch.randn(s.samples, BANDS, SIZE, SIZE, generator=generator, dtype=torch.float64)
    shape = (s.samples, SIZE, SIZE) if s.net == "pixels" else (s.samples,)
    labels = torch.randint(0, CLASSES, shape, generator=generator)
    if s.net == "pixels":
        labels[torch.rand(shape, generator=generator) < 0.4] = -100
        labels[::3] = -100  # whole samples without a valid pixel
    return images.contiguous(
        memory_format=torch.channels_last
    ) if s.channels_last else images, labels


def count(s: Situation, labels: torch.Tensor) -> torch.Tensor | float:
    """Return what the mean of a loss divides by."""
    return (
        WEIGHTS.to(labels.device)[labels].sum()
        if s.counted == "weights"
        else (labels != -100).sum()
    )


def loss_of(
    s: Situation, model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    outputs = [model(images, shift=0.1 * k) for k in range(s.passes)]
    logits = sum(o["logits"] if isinstance(o, dict) else o for o in outputs)
    weight = WEIGHTS.to(labels.device) if s.counted == "weights" else None
    if s.precision:
        logits = logits.float()  # type: ignore[union-attr]
    loss = F.cross_entropy(logits, labels, weight=weight, reduction=s.reduction)  # type: ignore[arg-type]
    if s.penalty:
        loss = loss + s.penalty * sum(p.square().sum() for p in model.parameters())
    return loss


def gradient(model: nn.Module) -> torch.Tensor:
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([g.flatten() for g in found]).clone()


def many_make(rank: int, situations: list[Situation]) -> list[list[torch.Tensor]]:
    return [replicas_make(rank, s) for s in situations]


def replicas_make(rank: int, s: Situation) -> list[torch.Tensor]:
    """Return the gradient of every step as this replica has it."""
    if s.compiled:
        torch._dynamo.reset()
    images, labels = make(s)
    net = Net(s.net)
    net = net.to(memory_format=torch.channels_last) if s.channels_last else net  # type: ignore[call-overload]
    device = s.devices[rank] if s.devices else "cpu"
    net = (net.float() if s.precision else net).to(device)
    if s.net == "batchnorm":
        hetlib.convert_batchnorm(net, dist.new_group())
    inner = torch.compile(net, backend="aot_eager") if s.compiled == "inside" else net
    sampler = hetlib.BalancedSampler(s.samples, s.shares, seed=1)
    model: Any = DistributedDataParallel(inner, **dict(s.ddp))  # type: ignore[arg-type]
    if s.hook == "power":
        state = power.PowerSGDState(
            None, matrix_approximation_rank=64, start_powerSGD_iter=2, min_compression_rate=0.1
        )
        model.register_comm_hook(state, power.powerSGD_hook)
    elif s.hook:
        model.register_comm_hook(None, getattr(default_hooks, f"{s.hook}_compress_hook"))
    known = None if s.counted else sampler
    hetlib.balance(
        model, known, passes=s.passes, reduction=s.reduction, check=s.check, verify_every=1
    )
    if s.compiled == "outside":
        model = torch.compile(model, backend="aot_eager")
    scaler = torch.amp.GradScaler("cpu", init_scale=256, enabled=s.precision == "float16")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    results = []
    for indices in sampler:
        size = s.parts[rank] if s.parts else max(len(indices), 1)
        x, y = (
            images[indices].to(device, torch.float32 if s.precision else torch.float64),
            labels[indices].to(device),
        )
        parts = list(zip(x.split(size), y.split(size), strict=True))
        if s.counted:
            hetlib.announce(model, *[count(s, y) for _, y in parts])
        for k, (x, y) in enumerate(parts):
            last = k + 1 == len(parts)
            with contextlib.nullcontext() if last else model.no_sync(), autocast(s):
                scaler.scale(loss_of(s, model, x, y)).backward()
        scaler.unscale_(optimizer)
        scaler.update()
        if s.clip:
            nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        assert torch.isfinite(gradient(net)).all()
        results.append(gradient(net).double().cpu())
        net.zero_grad()
    return results


def one_process(s: Situation) -> list[torch.Tensor]:
    """Return the same from one process in float64 with the whole global batch."""
    images, labels = make(s)
    net = Net(s.net)
    results = []
    for _, indices in hetlib.BalancedSampler(s.samples, s.shares, rank=0, seed=1).steps():
        net.zero_grad()
        loss_of(
            dataclasses.replace(s, precision=""), net, images[indices], labels[indices]
        ).backward()
        if s.clip:
            nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        results.append(gradient(net))
    return results


def autocast(s: Situation) -> Any:
    return (
        torch.autocast("cpu", getattr(torch, s.precision))
        if s.precision
        else contextlib.nullcontext()
    )


def overflow(rank: int) -> list[tuple[float, bool]]:
    """Return the loss scale and whether the weights moved, for steps of which replica 1 alone overflows in some."""
    net = Net().float()
    model, sampler = _wrapped(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12, growth_interval=2)
    images, labels = make(S(samples=16))
    seen = []
    for step, indices in enumerate(itertools.chain(sampler, sampler)):
        before = net.first.weight.clone()
        with torch.autocast("cpu", torch.float16):
            loss = loss_of(S(), model, images[indices].float(), labels[indices])
        scaler.scale(loss * (1e30 if rank == 1 and step == 2 else 1)).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        seen.append((scaler.get_scale(), not before.equal(net.first.weight)))
    return seen


def message_of(action: Callable[[], Any]) -> str:
    try:
        action()
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _wrapped(net: nn.Module, shares: tuple[int, ...] = (6, 2), **options: Any) -> tuple[Any, Any]:
    sampler = hetlib.BalancedSampler(16, shares, seed=1)
    return hetlib.balance(DistributedDataParallel(net), sampler, **options), sampler


def _steps(model: Any, sampler: Any, change: Callable[[], Any] = lambda: None) -> None:
    images, labels = make(S(samples=16))
    for indices in sampler:
        loss_of(S(), model, images[indices], labels[indices]).backward()
        model.zero_grad()
        change()


def mistakes(rank: int) -> dict[str, str]:
    """Return the messages that wrong jobs end with, all of them on every replica."""

    def trained(
        net: nn.Module, change: Callable[[], Any] = lambda: None, **options: Any
    ) -> Callable[[], Any]:
        return lambda: _steps(*_wrapped(net, **options), change)

    hooked, drifting = Net(), Net(seed=3)
    hooked.first.weight.register_hook(lambda gradient: 1.5 * gradient)

    def drift() -> None:
        with torch.no_grad():
            drifting.second.bias[0] += 1e-12 * rank

    images = make(S(samples=16))[0]
    announcing = hetlib.balance(DistributedDataParallel(Net()))
    half = lambda: _wrapped(Net())  # noqa: E731

    def wrong_part() -> None:
        model, sampler = half()
        for indices in sampler:
            model(images[indices][:1])
            model(images[indices])

    def announced_twice() -> None:
        hetlib.announce(announcing, 3)
        hetlib.announce(announcing, 3)

    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Net()

        def forward(self, x: torch.Tensor, shift: float = 0.0) -> Any:
            return partial(self.inner, x)

    return {
        "batchnorm": message_of(trained(Net("batchnorm"), check=True)),
        "hook": message_of(trained(hooked, check=True)),
        "drift": message_of(trained(drifting, drift, verify_every=2)),
        "no drift": message_of(trained(Net(), verify_every=1, check=True)),
        "dropout": message_of(trained(nn.Sequential(Net(), nn.Dropout(0.1)), check=True)),
        "part": message_of(wrong_part),
        "unannounced": message_of(lambda: announcing(images[:3])),
        "announced twice": message_of(announced_twice),
        "needs no count": message_of(lambda: hetlib.announce(half()[0], 3)),
        "replicas": message_of(lambda: _wrapped(Net(), shares=(2, 2, 2))),
        "reduction": message_of(lambda: _wrapped(Net(), reduction="average")),
        "passes": message_of(lambda: _wrapped(Net(), passes=0)),
        "evaluation": message_of(lambda: half()[0].eval()(images[:3]).sum().backward()),
        "outputs": message_of(lambda: _steps(*_wrapped(Opaque()))),
    }


def loaded_batches(rank: int) -> list[tuple[int, ...]]:
    """Return the shapes that a DataLoader with `collate` gives this replica."""
    images, labels = make(S(samples=16))
    data = torch.utils.data.TensorDataset(images, labels)
    sampler = hetlib.BalancedSampler(16, (6, 0), rank=rank)
    loader = torch.utils.data.DataLoader(
        data, batch_sampler=sampler, collate_fn=hetlib.collate(data)
    )
    return [tuple(x.shape) + tuple(y.shape) for x, y in _typed(loader)]


def _typed(loader: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for x, y in loader:
        assert x.dtype == torch.float64
        assert y.dtype == torch.int64
        yield x, y
