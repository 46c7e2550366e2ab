"""Wrong jobs, and the messages that they end with; all of them on every replica."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hetlib
from tests.balanced.situations import Net, Situation, loss_of, make

PLAIN = Situation(samples=16)


def message_of(action: Callable[..., Any], *args: Any, **options: Any) -> str:
    """Return the message of the error that a call ends with, or nothing."""
    try:
        action(*args, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def loader_of(shares: Sequence[int] = (6, 2), **options: Any) -> hetlib.BalancedLoader:
    return hetlib.BalancedLoader(range(PLAIN.samples), shares, seed=1, **options)


def nothing(*_: Any) -> None:
    """Change nothing."""


def train(
    net: nn.Module,
    change: Callable[[], None] = nothing,
    balanced: Callable[..., Any] = hetlib.balance,
    **options: Any,
) -> None:
    """Take the backward passes of an epoch, with a change behind each; check the first one."""
    images, labels = make(PLAIN)
    model = DistributedDataParallel(net)
    loader = loader_of()
    for indices in loader:
        batch = (images[indices], labels[indices])
        balanced(loss_of(PLAIN, model, *batch), loader).backward()
        if loader.step == 0:
            hetlib.check_gradient(model, of_batch, batch, loader=loader, **options)
        model.zero_grad()
        change()
        hetlib.check_weights(model)


def of_batch(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return loss_of(PLAIN, network, *batch)


def drift(net: Net, rank: int) -> None:
    """Change one weight, another way on each replica."""
    with torch.no_grad():
        net.second.bias[0] += 1e-12 * rank


def plain(loss: torch.Tensor, loader: Any) -> torch.Tensor:
    hetlib.balance(loss * 1, loader)
    return loss


class Same(torch.autograd.Function):
    """The identity, behind which no mark is seen."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


def behind_a_function(loss: torch.Tensor, loader: Any) -> torch.Tensor:
    """Weight a loss twice, where the first time cannot be seen."""
    return hetlib.balance(Same.apply(hetlib.balance(loss, loader)), loader)


def mistakes_that_checks_find(rank: int) -> dict[str, str]:
    hooked = Net()
    hooked.first.weight.register_hook(lambda gradient: 1.5 * gradient)
    drifting = Net(seed=3)
    change = partial(drift, drifting, rank)
    drawing = Net()
    drawing.norm = nn.Dropout(0.1)
    return {
        "no own batchnorm": message_of(train, Net("batchnorm")),
        "hook": message_of(train, hooked),
        "plain": message_of(train, Net(), balanced=plain),
        "weighted twice": message_of(train, Net(), balanced=behind_a_function),
        "drift": message_of(train, drifting, change),
        "no drift": message_of(train, Net()),
        "dropout": message_of(train, drawing),
        "cannot be sent": message_of(check_what_cannot_be_sent, rank),
        "other model": message_of(check_other_models, rank),
    }


def check_what_cannot_be_sent(rank: int) -> None:
    """Give a batch on replica 1 that holds a function; replica 0's is right."""
    images, labels = make(PLAIN)
    batch = (images, labels) if rank == 0 else (images, lambda: labels)
    hetlib.check_gradient(Net(), of_batch, batch, count=3)


def check_other_models(rank: int) -> None:
    hetlib.check_weights(nn.Sequential(*[nn.Linear(2, 2) for _ in range(1 + rank)]))


def mistakes_with_balance(rank: int) -> dict[str, str]:
    return {
        "part": message_of(balance_more_than_dealt),
        "read ahead": message_of(balance_behind_the_loader),
        "announced part": message_of(balance_more_than_announced),
        "part of a number": message_of(one_loss, count=3, samples=2),
        "no count": message_of(one_loss),
        "negative count": message_of(one_loss, count=-1.0),
        "several counts": message_of(one_loss, count=torch.ones(2)),
        "sum with a count": message_of(one_loss, count=3, reduction="sum"),
        "replicas": message_of(train_with_a_plan_for_three),
        "group": message_of(train_with_another_group),
        "reduction": message_of(one_loss, count=1, reduction="average"),
        "evaluation": message_of(balance_an_evaluation),
        "outputs": message_of(balance_no_tensor),
        "weight": message_of(balance_a_weight),
        "twice": message_of(balance_twice),
        "join": message_of(count_inside_join),
        "unread": message_of(balance_unread),
        "left out": message_of(leave_samples_out),
        "filled": message_of(fill_under_batchnorm),
        "other loader": message_of(one_loss, loader=[1, 2]),
    }


def a_loss() -> torch.Tensor:
    return nn.Linear(2, 1)(torch.ones(3, 2)).mean()


def one_loss(loader: Any = None, **options: Any) -> None:
    hetlib.balance(a_loss(), loader, **options)


def balance_more_than_dealt() -> None:
    loader = loader_of()
    indices = next(iter(loader))
    hetlib.balance(a_loss(), loader, samples=len(indices) + 1)


def balance_behind_the_loader() -> None:
    loader = loader_of()
    reader = iter(loader)
    next(reader)
    next(reader)
    hetlib.balance(a_loss(), loader)


def balance_more_than_announced() -> None:
    hetlib.balance(a_loss(), count=hetlib.announce(3), samples=4)


def train_with_a_plan_for_three() -> None:
    next(iter(loader_of((2, 2, 2))))


def train_with_another_group() -> None:
    loader = loader_of((2, 2, 2), rank=dist.get_rank())
    next(iter(loader))
    hetlib.balance(a_loss(), loader)


def balance_an_evaluation() -> None:
    with torch.no_grad():
        hetlib.balance(a_loss(), count=3)


def balance_no_tensor() -> None:
    hetlib.balance({"loss": a_loss()}, count=3)  # type: ignore[arg-type]


def balance_a_weight() -> None:
    hetlib.balance(nn.Parameter(torch.ones(())), count=3)


def balance_twice() -> None:
    loss = hetlib.balance(a_loss(), count=3)
    hetlib.balance((loss + a_loss()) / 4, count=3)


def count_inside_join() -> None:
    model = DistributedDataParallel(nn.Linear(2, 1))
    with model.join():
        hetlib.announce(3)


def balance_unread() -> None:
    one_loss(loader_of())


def without_the_first(samples: list[int]) -> torch.Tensor:
    return torch.tensor(samples[1:])


def leave_samples_out() -> None:
    loader = loader_of((4, 4), collate_fn=without_the_first)
    next(iter(loader))
    hetlib.balance(a_loss(), loader)


def fill_under_batchnorm() -> None:
    loader = loader_of((8, 0), empty="sample")
    images, labels = make(PLAIN)
    model = DistributedDataParallel(hetlib.convert_batchnorm(Net("batchnorm")))
    for indices in loader:
        loss = F.cross_entropy(model(images[indices]), labels[indices])
        hetlib.balance(loss, loader).backward()


class OfAllTypes(nn.Module):
    """Weights of many types, and one that is no row in memory."""

    def __init__(self) -> None:
        super().__init__()
        numbers = torch.arange(6.0).view(2, 3)
        for kind in ALL_TYPES:
            name = str(kind).replace("torch.", "of_")
            self.register_parameter(name, nn.Parameter(numbers.to(kind), requires_grad=False))
        self.turned = nn.Parameter(numbers.t())
        self.scalar = nn.Parameter(torch.tensor(2.0))
        self.nothing = nn.Parameter(torch.zeros(0))


ALL_TYPES = (
    *(torch.complex128, torch.complex64, torch.float64, torch.float32, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.int64, torch.int8, torch.uint8, torch.bool),
)


def differing_weights(rank: int) -> dict[str, str]:
    """Change a weight of each type on replica 1, and change two places, and signs."""
    found = {"": message_of(hetlib.check_weights, OfAllTypes())}
    alone = [dist.new_group([number]) for number in range(dist.get_world_size())]
    for name in dict(OfAllTypes().named_parameters()):
        model = OfAllTypes()
        weight = getattr(model, name)
        if rank == 1 and weight.numel():
            flat = weight.data.reshape(-1).clone()
            flat[0] = torch.ones_like(flat[0])
            weight.data = flat.view(weight.shape)
        found[name] = message_of(hetlib.check_weights, model)
        assert message_of(hetlib.check_weights, model, alone[rank]) == ""
    swapped = nn.Linear(2, 1, bias=False)
    order = [1.0, -1.0] if rank else [-1.0, 1.0]
    swapped.weight.data = torch.tensor([order])
    found["swapped"] = message_of(hetlib.check_weights, swapped)
    return found


class Filter(nn.Module):
    """One weight of any kind."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)


def weights_of_all_kinds(rank: int) -> dict[str, str]:
    """Compare models without weights, and weights that are views, sparse, or not there yet."""
    numbers = torch.arange(4.0, dtype=torch.float64).to(torch.complex128)
    other = torch.eye(3)
    other[2, 2] += rank
    return {
        "none": message_of(hetlib.check_weights, nn.ReLU()),
        "none on one": message_of(hetlib.check_weights, nn.Linear(1, 1) if rank else nn.ReLU()),
        "conjugated": message_of(hetlib.check_weights, Filter(numbers.conj())),
        "negated": message_of(hetlib.check_weights, Filter(numbers.conj().imag)),
        "sparse": message_of(hetlib.check_weights, Filter(torch.eye(3).to_sparse())),
        "other sparse": message_of(hetlib.check_weights, Filter(other.to_sparse())),
        "lazy": message_of(hetlib.check_weights, nn.LazyLinear(3)),
        "meta": message_of(hetlib.check_weights, nn.Linear(2, 2, device="meta")),
    }
