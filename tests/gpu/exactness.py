"""A GPU and CPU replicas in one job over gloo: the gradient is that of one process on the CPU.

The situations of `tests.balanced`: convolutions, BatchNorm over all replicas, counts, accumulation,
channels last, autocast. Each rank has the same layout of weights, so DDP's buckets are equal; where
gradients become ready in another order, DDP takes that of rank 0 for all.
"""

import dataclasses
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced import workers
from tests.balanced.situations import SITUATIONS, Net, Situation, gradient, make
from tests.gpu import Result, Setting, attempt, compare, judge
from tests.gpu.common import platform_of, without_tf32

CHECK = "exactness"
# Sums in another order than on the CPU, in float64.
EXACT = 1e-10
# The same in float32 after some steps of SGD.
DRIFT = 1e-4
# The gradient of one step in float32.
ROUNDED = 1e-4
SHARES = (7, 2, 4)
ONE_STEP = Situation(shares=SHARES, samples=sum(SHARES))


def run(setting: Setting) -> Iterator[Result]:
    devices = (setting.fast, "cpu", "cpu")
    with hetlib.Replicas(platform_of(devices), timeout=30) as pool:
        for name, situation in chosen(SITUATIONS).items():
            yield one(CHECK, pool, name, dataclasses.replace(situation, devices=devices))
        yield from of_float32(pool, devices)
        steps = setting.choose(real=50, dry=5)
        for dtype, limit in (("float64", EXACT), ("float32", DRIFT)):
            yield compare(
                CHECK,
                f"weights of the GPU's replica and a CPU's after {steps} steps, {dtype}",
                lambda dtype=dtype: apart(pool.run(trained, devices, steps, dtype)),
                at_most=limit,
                note="not to the bit: each updates its own copy",
            )


def chosen(situations: dict[str, Situation]) -> dict[str, Situation]:
    """Return the situations without compilers and compressed gradients."""
    return {name: s for name, s in situations.items() if not (s.compiled or s.hook)}


def one(check: str, pool: hetlib.Replicas, name: str, situation: Situation) -> Result:
    """Compare the gradients of a situation with those of one process on the CPU."""
    return compare(
        check,
        f"gradient against one process: {name}",
        lambda: error_of(pool, situation),
        at_most=max(situation.tolerance, EXACT),
    )


def error_of(pool: hetlib.Replicas, situation: Situation) -> float:
    """Return the largest relative error of a step's gradient."""
    made = pool.run(workers.replicas_make, situation)[0]
    errors = []
    for found, expected in zip(made, workers.one_process(situation), strict=True):
        errors.append(float((found - expected).norm() / expected.norm()))
    return max(errors)


def of_float32(pool: hetlib.Replicas, devices: tuple[str, ...]) -> Iterator[Result]:
    """Compare a gradient in float32 with one process in float64, without and with TF32."""
    compared = "gradient in float32 against one process in float64"
    yield compare(
        CHECK, f"{compared}, TF32 off", lambda: rounding(pool, devices, tf32=False), at_most=ROUNDED
    )
    yield attempt(
        CHECK,
        f"{compared}, TF32 on",
        lambda: judge(
            CHECK,
            f"{compared}, TF32 on",
            rounding(pool, devices, tf32=True),
            at_most=None,
            note="torch's default for convolutions on a GPU; for comparison",
        ),
    )


def rounding(pool: hetlib.Replicas, devices: tuple[str, ...], *, tf32: bool) -> float:
    """Return the relative error of a gradient in float32."""
    found = pool.run(gradient_in_float32, devices, tf32)[0]
    expected = workers.one_process(ONE_STEP)[0]
    return float((found - expected).norm() / expected.norm())


def gradient_in_float32(rank: int, devices: tuple[str, ...], tf32: bool) -> torch.Tensor:
    """Return the gradient of one step, float64."""
    if tf32:
        torch.backends.cudnn.allow_tf32 = True
    else:
        without_tf32()
    device = torch.device(devices[rank])
    images, labels = make(ONE_STEP)
    network = Net().float().to(device)
    model = DistributedDataParallel(network)
    loader = hetlib.BalancedLoader(range(len(images)), SHARES, seed=1)
    for indices in loader:
        x = images[indices].to(device, torch.float32)
        loss = F.cross_entropy(model(x), labels[indices].to(device))
        hetlib.balance(loss, loader).backward()
    return gradient(network).double().cpu()


def trained(rank: int, devices: tuple[str, ...], steps: int, dtype: str) -> torch.Tensor:
    """Train on random images, and return the weights of this replica, float64."""
    without_tf32()
    device = torch.device(devices[rank])
    images, labels = make(Situation(samples=sum(SHARES) * steps))
    network = hetlib.convert_batchnorm(Net("batchnorm")).to(device, getattr(torch, dtype))
    model = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    loader = hetlib.BalancedLoader(range(len(images)), SHARES, seed=1)
    for indices in loader:
        x = images[indices].to(device, getattr(torch, dtype))
        loss = F.cross_entropy(model(x), labels[indices].to(device))
        hetlib.balance(loss, loader).backward()
        optimizer.step()
        optimizer.zero_grad()
    weights = [weight.detach().flatten() for weight in network.parameters()]
    return torch.cat(weights).double().cpu()


def apart(weights: list[torch.Tensor]) -> float:
    """Return the largest relative difference of a replica's weights from the first one's."""
    first = weights[0]
    return max(float((other - first).norm() / first.norm()) for other in weights[1:])
