"""What a CNN costs: parameters, multiply-adds, all-reduced bytes, and the time of a step."""

import statistics
import time
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hetlib.models import build_model

BYTES = 4  # of a float32
ROUNDS = 3  # over the batches that are timed whatever they take

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def cost(
    name: str,
    *,
    bands: int,
    classes: int,
    size: int,
    batches: Sequence[int],
    seconds: float,
) -> dict[str, object]:
    """Count and time a CNN in float32, on the CPU, with the threads that torch has now.

    A step is forward and backward pass and an SGD update, on random images already in memory,
    channels last.

    Args:
        name: Of the CNN in `hetlib.models.MODELS`, with its default norm.
        bands: Input channels.
        classes: Outputs.
        size: Height and width of the images in pixels.
        batches: Two or more local batches to time, rising, in samples.
        seconds: Budget of the timing; three rounds over the batches are timed whatever they take.

    Returns:
        ``model``, ``parameters``, ``multiply-adds`` (of one image, forward), ``norm layers``,
        ``all-reduced bytes`` (of a step: the gradients in float32), ``step <n> (ms)`` for each
        batch (medians), and the straight line through the first and last of them: ``fixed (ms)``
        and ``per sample (ms)``.
    """
    network = build_model(name, bands=bands, classes=classes, size=size)
    network = network.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(max(batches), bands, size, size, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, classes, (max(batches),), generator=generator)
    operations = _operations(network, images[:1])
    medians = _step_medians(network, images, labels, batches, seconds)
    slope = (medians[-1] - medians[0]) / (batches[-1] - batches[0])
    parameters = sum(parameter.numel() for parameter in network.parameters())
    found: dict[str, object] = {
        "model": name,
        "parameters": parameters,
        "multiply-adds": operations // 2,
        "norm layers": _norm_layers(network),
        "all-reduced bytes": BYTES * parameters,
    }
    for n, median in zip(batches, medians, strict=True):
        found[f"step {n} (ms)"] = median
    found["fixed (ms)"] = medians[0] - slope * batches[0]
    found["per sample (ms)"] = slope
    return found


def _operations(network: nn.Module, image: torch.Tensor) -> int:
    """Return the multiplications and additions of one image's forward pass."""
    network.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


def _norm_layers(network: nn.Module) -> str:
    """Return the numbers of normalising layers by kind, as text."""
    layers = [module for module in network.modules() if isinstance(module, _NORMS)]
    kinds = Counter(type(layer).__name__ for layer in layers)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none"


def _step_medians(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    batches: Sequence[int],
    seconds: float,
) -> list[float]:
    """Return the median milliseconds of a training step by local batch, timed in turns."""
    network.train()
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=0.01,
        momentum=0.9,
        fused=True,
    )

    def step(n: int) -> float:
        begin = time.perf_counter()
        loss = F.cross_entropy(network(images[:n]), labels[:n])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - begin

    for n in batches:  # the first step of a size is slower
        step(n)
    end = time.perf_counter() + seconds
    rounds: list[list[float]] = []
    while len(rounds) < ROUNDS or time.perf_counter() < end:
        rounds.append([step(n) for n in batches])
    columns = zip(*rounds, strict=True)
    return [1e3 * statistics.median(column) for column in columns]
