"""What fits into the free memory, from what a forward pass keeps."""

import functools
import gc
import weakref

import pytest
import torch
from torch import nn

import hetlib
from hetlib.models.registry import build_model
from hetlib.planning import memory
from hetlib.planning.timing import Task, capped
from tests.planning import workers_memory as workers

CPU = torch.device("cpu")


def two_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))


def test_saved_bytes_counts_each_tensor_once():
    network = two_layers()
    two = memory.saved_bytes(lambda: workers.loss_of(network, 2))
    four = memory.saved_bytes(lambda: workers.loss_of(network, 4))
    # The input, the ReLU's output (which the second layer has too) and the output, which the loss
    # squares.
    assert (four - two) / 2 == 4 * (10 + 20 + 5)


def test_a_pass_that_is_counted_is_freed():
    """A sigmoid keeps its own output, and a softmax does."""
    network = nn.Sequential(nn.Linear(10, 20), nn.Sigmoid(), nn.Linear(20, 5), nn.Softmax(1))
    weight = weakref.ref(network[0].weight)
    passed = functools.partial(workers.loss_of, network, 3)
    assert memory.saved_bytes(passed) > 0
    del network, passed
    gc.collect()
    assert weight() is None


def test_what_a_gradient_in_the_loss_keeps_is_counted():
    network = nn.Sequential(nn.Linear(10, 20), nn.Tanh(), nn.Linear(20, 1))

    def penalty() -> torch.Tensor:
        x = torch.ones(6, 10, requires_grad=True)
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        return slope.square().sum()

    without = memory.saved_bytes(lambda: network(torch.ones(6, 10)).sum())
    assert memory.saved_bytes(penalty) > without
    # and it is the penalty still, whose own gradient reaches the first layer
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, lambda kept: kept):
        penalty().backward()
    seen = network[0].weight.grad.clone()
    network.zero_grad()
    penalty().backward()
    assert torch.allclose(seen, network[0].weight.grad)


@pytest.mark.parametrize(("free", "sharing"), [(10**6, 1), (10**6, 2), (10**3, 1)])
def test_a_batch_that_fits(monkeypatch, free, sharing):
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    found = memory.fitting_batch(two_layers(), workers.loss_of, CPU, sharing)
    numbers = 10 * 20 + 20 + 20 * 5 + 5
    copies = 4 * 4 * numbers
    of_a_sample = 2 * 4 * 35
    room = 0.8 * free / sharing - copies
    assert found == max(int(room / of_a_sample), 1)


def test_what_torch_keeps_of_a_gpu_is_free(monkeypatch):
    """A process that has trained holds most of its GPU, and the driver counts that as taken."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 50)
    assert memory.free_memory(torch.device("cuda:0")) == 750


def test_where_nobody_knows_what_is_free_there_is_no_cap(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    assert memory.free_memory(CPU) is None
    assert memory.fitting_batch(two_layers(), workers.loss_of, CPU) is None

    def sgd(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=0.0)

    task = Task(hetlib.Replica(), two_layers(), workers.loss_of, sgd)
    assert capped(task).replica.max_batch is None


def test_a_plan_keeps_to_the_memory_of_each_replica(team):
    little = 12_000
    small, large = team(1, 1).run(workers.planned, [little, 10**9])
    assert small.shares == large.shares
    assert small.shares[0] <= workers.most(little) < 32
    assert sum(small.shares) == 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_predicted_batch_fits_a_gpu(monkeypatch):
    device = torch.device("cuda:0")
    budget = 2**30
    network = build_model("resnet18", bands=3, classes=10, size=64).to(device)

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        outputs = network(torch.randn(n, 3, 64, 64, device=device))
        return outputs.square().mean()

    monkeypatch.setattr(memory, "free_memory", lambda device: budget)
    found = memory.fitting_batch(network, loss_of, device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    loss_of(network, found).backward()
    used = torch.cuda.max_memory_allocated(device) - before
    assert 0.3 * budget < used < budget
