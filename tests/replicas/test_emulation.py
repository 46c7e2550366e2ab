"""A slow replica on a fast machine: compute is stretched, and nothing else."""

import time

import torch
from torch import nn

from hetlib.models.registry import build_model
from hetlib.replicas.emulation import SlowDown, Stopwatch
from tests import workers


def test_slow_down_charges_compute_and_not_waiting():
    """The exact factor is a benchmark's matter.

    Here a wide margin tells a factor of 4 from none on a busy machine.
    """
    model = build_model("smallcnn", bands=13, classes=8, size=16)
    images = torch.randn(64, 13, 16, 16)
    clock = SlowDown(4.0, model)
    passes: dict[str, list[float]] = {"forward": [], "backward": []}
    for _ in range(20):
        time.sleep(0.002)  # not charged
        for name, found in passes.items():
            begin = time.perf_counter()
            cpu = time.thread_time()
            clock.start(name, 64)
            if name == "forward":
                loss = model(images).square().mean()
            else:
                loss.backward()
            clock.settle()
            found.append((time.perf_counter() - begin) / (time.thread_time() - cpu))
    both = [sum(pair) / 2 for pair in zip(*passes.values(), strict=True)]
    assert sorted(both[5:])[7] > 2.5  # other work can only make it larger
    assert min(both[5:]) < 6.5


def test_full_speed_adds_no_hooks():
    model = workers.make_model(0)
    SlowDown(1.0, model)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_gpu_is_waited_for_by_the_stream_that_computes(monkeypatch):
    """NCCL exchanges on a stream of its own: a wait for that is one for the slowest replica."""
    waited = []

    class Stream:
        def __init__(self, device: torch.device) -> None:
            self._device = device

        def synchronize(self) -> None:
            waited.append(str(self._device))

    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: waited.append("all streams"))
    watch = Stopwatch(SlowDown(1.0, nn.Linear(1, 1)), torch.device("cuda:1"))
    watch.stamp()
    watch.settled()
    assert waited == ["cuda:1"]
    assert len(watch.stamps) == 2
