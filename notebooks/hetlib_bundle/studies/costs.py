"""What a CNN costs: parameters, multiply-adds, all-reduced bytes, and the measured time of a training step."""

import statistics
import time
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hetlib.models.registry import build_model

_NORMS = (nn.GroupNorm, nn.LayerNorm, nn.modules.batchnorm._NormBase)


def cost(
    name: str, *, bands: int, classes: int, size: int, batches: Sequence[int], seconds: float
) -> dict[str, object]:
    """Count and time a CNN of `hetlib.models.MODELS` in float32, on the CPU, with the threads that torch has now.

    A step is forward and backward pass and an SGD update, on random images already in memory,
    channels last.

    Args:
        name: The CNN, with its default norm.
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
    network = build_model(name, bands=bands, classes=classes, size=size).to(
        memory_format=torch.channels_last
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(max(batches), bands, size, size, generator=generator).to(
        memory_format=torch.channels_last
    )
    labels = torch.randint(0, classes, (max(batches),), generator=generator)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(images[:1])
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)

    def step(n: int) -> float:
        begin = time.perf_counter()
        F.cross_entropy(network(images[:n]), labels[:n]).backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - begin

    for n in batches:  # the first step of a size is slower
        step(n)
    end = time.perf_counter() + seconds
    taken: list[list[float]] = []
    while len(taken) < 3 or time.perf_counter() < end:
        taken.append([step(n) for n in batches])
    medians = [1e3 * statistics.median(column) for column in zip(*taken, strict=True)]
    slope = (medians[-1] - medians[0]) / (batches[-1] - batches[0])
    kinds = Counter(
        type(module).__name__ for module in network.modules() if isinstance(module, _NORMS)
    )
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "model": name,
        "parameters": parameters,
        "multiply-adds": counter.get_total_flops() // 2,
        "norm layers": ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none",
        "all-reduced bytes": 4 * parameters,
        **{f"step {n} (ms)": median for n, median in zip(batches, medians, strict=True)},
        "fixed (ms)": medians[0] - slope * batches[0],
        "per sample (ms)": slope,
    }
