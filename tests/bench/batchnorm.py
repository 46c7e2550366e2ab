"""What BatchNorm over the global batch costs in time: two replicas, against local statistics.

Two DDP copies of one network take turns, so each pair sees the same machine. No goal: each layer
adds two small all-reduces that nothing hides.
"""

import copy
import time
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.models.registry import build_model
from tests.bench import Row
from tests.bench._measure import row

WARM_UP = 2


class Case(NamedTuple):
    model: str
    bands: int
    size: int  # pixels
    shares: tuple[int, int]
    pairs: int


CASES = (Case("smallcnn", 13, 16, (90, 38), 41), Case("resnet18", 13, 32, (20, 12), 11))


def turns(rank: int, case: Case) -> list[list[float]]:
    """Return seconds of a step with balanced, local and again local statistics, one list a pair."""
    images = torch.randn(case.shares[rank], case.bands, case.size, case.size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 8, (len(images),))
    plain = build_model(case.model, bands=case.bands, classes=8, size=case.size, norm="batch")
    plain = plain.to(memory_format=torch.channels_last)
    networks = [hetlib.convert_batchnorm(copy.deepcopy(plain)), plain, copy.deepcopy(plain)]
    models = [
        DistributedDataParallel(network, gradient_as_bucket_view=True) for network in networks
    ]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.01) for network in networks]
    seconds = []
    for _ in range(case.pairs + WARM_UP):
        pair = []
        for model, optimizer in zip(models, optimizers, strict=True):
            dist.barrier()
            begin = time.perf_counter()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            pair.append(time.perf_counter() - begin)
        seconds.append(pair)
    del model, models  # a DDP object that outlives its process group can abort the process
    return seconds[WARM_UP:]


def layers(case: Case) -> int:
    model = build_model(case.model, bands=case.bands, classes=8, size=case.size, norm="batch")
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def run() -> list[Row]:
    """Return the step time with balanced over that with local statistics, and local over itself as the noise."""
    rows = []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for case in CASES:
            pairs = [
                [max(times) for times in zip(*both, strict=True)]
                for both in zip(*replicas.run(turns, case), strict=True)
            ]
            title = f"{case.model}, {case.size} px, {layers(case)} layers, shares {case.shares[0]}/{case.shares[1]}"
            rows.append(
                row(
                    f"{title}: balanced / local", [balanced / local for balanced, local, _ in pairs]
                )
            )
            rows.append(
                row(f"{title}: local / local", [again / local for _, local, again in pairs])
            )
    return rows
