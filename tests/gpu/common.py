"""What the checks share: networks, images, clocks."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import nn

import hetlib
from hetlib.models.registry import build_model

BANDS = 13
CLASSES = 8


class Task(NamedTuple):
    """What is trained where only its time counts.

    Attributes:
        name: In words.
        batch: Samples of a step.
        size: Of the images, in pixels.
        width: Channels of the CNN; 0 is the small one.
    """

    name: str
    batch: int
    size: int
    width: int


def platform_of(devices: Sequence[str], threads: int = 1) -> hetlib.Platform:
    """Return replicas on devices; those on the CPU have so many threads."""
    replicas = []
    for device in devices:
        own = threads if device == "cpu" else 1
        replicas.append(hetlib.Replica(device=device, threads=own))
    return hetlib.Platform(tuple(replicas))


def without_tf32() -> None:
    """Let GPUs multiply float32 as such: torch's default for convolutions has 10 bits."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def now(device: torch.device) -> float:
    """Return the time, in seconds, at which all that was begun on a device is done."""
    wait_for(device)
    return time.perf_counter()


def longest(seconds: float) -> float:
    """Return the largest of all replicas' seconds, over any backend; a barrier too."""
    by_rank = [seconds] * dist.get_world_size()
    dist.all_gather_object(by_rank, seconds)
    return max(by_rank)


def images(samples: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of noise, channels last, and labels, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(samples, BANDS, size, size, generator=generator)
    labels = torch.randint(0, CLASSES, (samples,), generator=generator)
    drawn = drawn.contiguous(memory_format=torch.channels_last)
    return drawn.to(device), labels.to(device)


def deep_cnn(width: int, blocks: int) -> nn.Module:
    """Return a CNN of equal blocks with GroupNorm that keeps a GPU busier than a small one.

    Args:
        width: Channels.
        blocks: Number of convolutions behind the first.
    """
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(BANDS, width, 3, padding=1)]
    for _ in range(blocks):
        layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
        layers.append(nn.GroupNorm(8, width))
        layers.append(nn.ReLU(inplace=True))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def network_of(task: Task, device: torch.device) -> nn.Module:
    """Return a task's network, with the same weights on every device."""
    if task.width:
        network = deep_cnn(task.width, blocks=7)
    else:
        network = build_model("smallcnn", bands=BANDS, classes=CLASSES, size=task.size)
    return network.to(device, memory_format=torch.channels_last)
