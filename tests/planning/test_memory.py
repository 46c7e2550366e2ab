"""What fits into the free memory, from what a forward pass keeps."""

import pytest
import torch
from torch import nn

import hetlib
from hetlib.planning import memory
from tests.planning import workers_memory as workers


def test_saved_bytes_counts_each_tensor_once():
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    kept = [memory.saved_bytes(lambda n=n: workers.loss_of(network, n)) for n in (2, 4)]
    # The input, the ReLU's output (which the second layer has too) and the output, which the loss
    # squares.
    assert (kept[1] - kept[0]) / 2 == 4 * (10 + 20 + 5)


@pytest.mark.parametrize(("free", "sharing"), [(10**6, 1), (10**6, 2), (10**3, 1)])
def test_a_batch_that_fits(monkeypatch, free, sharing):
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    network = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    found = memory.fitting_batch(network, workers.loss_of, torch.device("cpu"), sharing)
    weights = 4 * (10 * 20 + 20 + 20 * 5 + 5)
    assert found == max(int((0.8 * free / sharing - 4 * weights) / (2 * 4 * 35)), 1)


def test_free_memory_stays_within_the_control_group(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory(torch.device("cpu")) > 2**20
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert memory.free_memory(torch.device("cpu")) == 3000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory(torch.device("cpu")) > 2**20


def test_a_plan_keeps_to_the_memory_of_each_replica():
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        small, large = replicas.run(workers.planned, [12_000, 10**9])
    assert small.shares == large.shares
    assert small.shares[0] <= workers.most(12_000) < 32
    assert sum(small.shares) == 64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_predicted_batch_fits_a_gpu(monkeypatch):
    device, budget = torch.device("cuda:0"), 2**30
    network = hetlib.models.build_model("resnet18", bands=3, classes=10, size=64).to(device)  # type: ignore[attr-defined]

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        return network(torch.randn(n, 3, 64, 64, device=device)).square().mean()

    monkeypatch.setattr(memory, "free_memory", lambda device: budget)
    found = memory.fitting_batch(network, loss_of, device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    loss_of(network, found).backward()
    assert 0.3 * budget < torch.cuda.max_memory_allocated(device) - before < budget
