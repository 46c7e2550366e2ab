"""64 virtual replicas in one process on the GPU: weights as of one process, and what they cost."""

import copy
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import hetlib
from hetlib.balanced.segmented import segment_batchnorm
from hetlib.models.registry import build_model
from tests.bench._measure import row
from tests.bench.virtual import SEGMENTS
from tests.gpu import Result, Setting, attempt, compare, in_turn, judge
from tests.gpu.common import BANDS, CLASSES, images, now, platform_of
from tests.gpu.scenes import experiment_of
from tests.training.common import difference

CHECK = "virtual"
# Of weights in float64, whose gradients are sums in another order.
EXACT = 1e-9
# Of a step with the statistics of 64 replicas over a plain one; on a CPU it is 1.05.
COST = 1.5
STEPS = 5  # of a turn


def run(setting: Setting) -> Iterator[Result]:
    steps = setting.choose(real=20, dry=2)
    for norm in ("group", "balanced"):
        yield compare(
            CHECK,
            f"weights of 64 virtual replicas and of one process, {norm} norm, {steps} steps",
            lambda norm=norm: from_one_process(setting, norm, steps),
            at_most=EXACT,
        )
    for norm in ("batch", "pooled"):
        yield compare(
            CHECK,
            f"weights of 64 virtual replicas, GPU and CPU, {norm} norm, {steps} steps",
            lambda norm=norm: from_the_cpu(setting, norm, steps),
            at_most=EXACT,
        )
    yield attempt(CHECK, "step of 64 virtual replicas / plain", lambda: cost(setting))


def from_one_process(setting: Setting, norm: str, steps: int) -> float:
    """Return how far balanced virtual replicas are from one process on the whole batch."""
    balanced = trained(setting.fast, "balanced", norm, steps)
    return difference(balanced, trained(setting.fast, "single", norm, steps))


def from_the_cpu(setting: Setting, norm: str, steps: int) -> float:
    """Return how far virtual replicas on the GPU are from those on the CPU."""
    on_gpu = trained(setting.fast, "uneven-plain", norm, steps)
    return difference(on_gpu, trained("cpu", "uneven-plain", norm, steps))


def trained(device: str, strategy: str, norm: str, steps: int) -> hetlib.RunRecord:
    """Train 64 virtual replicas of uneven shares on a device."""
    shares = tuple(2 * n for n in SEGMENTS)  # two values a channel at least
    experiment = experiment_of(
        strategy=strategy,
        shares=shares,
        global_batch=sum(shares),
        epochs=steps,
        max_steps=steps,
        evaluate_every=0,
        schedule="constant",
        lr=0.05,
        dtype="float64",
        dataset_options={"per_class": 40},
        model_options={"norm": norm},
    )
    replicas = hetlib.VirtualReplicas(platform_of([device] * len(shares)))
    return hetlib.train(experiment, replicas, keep_weights=True)


def cost(setting: Setting) -> Result:
    """Return the median of a step with statistics by replica over a plain one, in turns."""
    device = torch.device(setting.fast)
    size = setting.choose(real=32, dry=16)
    plain = build_model("smallcnn", bands=BANDS, classes=CLASSES, size=size, norm="batch")
    plain = plain.to(device, memory_format=torch.channels_last)
    segmented = segment_batchnorm(copy.deepcopy(plain), list(SEGMENTS))
    trainings = {
        "segmented": Training(segmented, size, device),
        "plain": Training(plain, size, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for turn in range(setting.choose(real=41, dry=2) + 1):
        for name in in_turn(list(trainings), turn):
            taken = trainings[name].turn()
            if turn > 0:  # the first warms up
                seconds[name].append(taken)
    ratios = np.array(seconds["segmented"]) / np.array(seconds["plain"])
    found = row("segmented / plain", ratios.tolist())
    return judge(
        CHECK,
        f"step of {len(SEGMENTS)} virtual replicas / plain, small CNN, batch {sum(SEGMENTS)}",
        found.value,
        at_most=COST,
        judged=not setting.dry,
        note=f"95 % interval {found.low:.3f} to {found.high:.3f}",
    )


class Training:
    """A network that trains on the same batch again and again."""

    def __init__(self, network: nn.Module, size: int, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        self._images, self._labels = images(sum(SEGMENTS), size, device)

    def turn(self) -> float:
        """Return the seconds of a step."""
        begin = now(self._device)
        for _ in range(STEPS):
            F.cross_entropy(self._network(self._images), self._labels).backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
        return (now(self._device) - begin) / STEPS
