"""What works with torch and numpy alone: `main`, in an environment of these two.

`tests.test_core` runs it with every other package refused, ``make core`` in an environment of its
own that holds nothing else. Both import this file, as its replicas have to.
"""

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import hetlib
from hetlib.errors import MissingDependencyError

SAMPLES = 50
GLOBAL_BATCH = 64


def make_network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)
    )


def make_data() -> torch.utils.data.TensorDataset:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(SAMPLES, 6, generator=generator)
    labels = torch.randint(0, 3, (SAMPLES,), generator=generator)
    return torch.utils.data.TensorDataset(inputs, labels)


def plan_and_train(rank: int) -> tuple[tuple[int, ...], list[float]]:
    """Plan, train an epoch, and return the shares and the weights' sums."""
    data = make_data()
    network = hetlib.convert_batchnorm(make_network())
    inputs = data.tensors[0][:8]
    plan = hetlib.plan(network, inputs, global_batch=GLOBAL_BATCH, seconds=0.5)

    loader = hetlib.BalancedLoader(data, (11, 5), rank=rank, seed=0)
    model = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch, labels in loader:
        loss = F.cross_entropy(model(batch), labels)
        hetlib.balance(loss, loader).backward()
        optimizer.step()
        optimizer.zero_grad()
    hetlib.check_weights(network)
    return plan.shares, [weight.sum().item() for weight in network.parameters()]


def check_replicas() -> None:
    platform = hetlib.Platform((hetlib.Replica(), hetlib.Replica(slowdown=2.0)))
    with hetlib.Replicas(platform) as replicas:
        (shares, weights), other = replicas.run(plan_and_train)
    assert sum(shares) == GLOBAL_BATCH
    assert other == (shares, weights)
    print(f"two replicas: planned {shares}, trained by 11/5, weights equal")


def check_planning() -> None:
    models = [hetlib.SpeedModel.constant(100.0), hetlib.SpeedModel.constant(50.0)]
    plan = hetlib.partition(models, 30)
    assert plan.shares == (20, 10)
    rebalancer = hetlib.Rebalancer(models, plan.shares)
    # The first replica takes four times as long from now on.
    changed = None
    for _ in range(40):
        changed = changed or rebalancer.observe([plan.shares] * 5, [[0.8, 0.2]] * 5)
    assert changed is not None
    assert changed[0] < plan.shares[0]
    print(f"partition: {plan.shares}; after a slow-down: {changed}")


def check_sums() -> None:
    assert round(hetlib.effective_batch((224, 32))) == 112
    squared_norm, noise = hetlib.noise_scale((3, 1), [2.0, 4.0], 1.0)
    print(f"effective batch of 224/32: 112; noise scale: {noise / squared_norm:.2f}")


def say_what_extras_add() -> None:
    """Each part that needs more names the extra, in one sentence."""
    asked = {
        "GeoTIFFs": read_a_scene,
        "platform files": lambda: hetlib.Platform.from_yaml("platform.yaml"),
        "CNNs of torchvision": build_resnet,
        "the command": start_command,
    }
    for what, use in asked.items():
        print(f"{what}: {missing(use)}")


def missing(use: Callable[[], object]) -> str:
    try:
        use()
    except MissingDependencyError as error:
        return str(error)
    raise AssertionError("an extra is installed; this is not the core alone")


def read_a_scene() -> object:
    from hetlib.datasets.rasters import read_scene

    return read_scene("scene.tif")


def build_resnet() -> torch.nn.Module:
    from hetlib.models import build_model

    return build_model("resnet18", bands=3, classes=4, size=32)


def start_command() -> None:
    import hetlib.cli  # noqa: F401


def main() -> None:
    check_sums()
    check_planning()
    check_replicas()
    say_what_extras_add()
    others = {"yaml", "pandas", "rasterio", "torchvision", "typer", "tqdm", "psutil"}
    assert not others & set(sys.modules)
    print("the core works with torch and numpy alone")
