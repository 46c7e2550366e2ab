"""Platforms from lists and files, and errors that say what is allowed."""

import time

import pytest
import torch

from hetlib.models.registry import build_model
from hetlib.replicas.emulation import SlowDown
from hetlib.replicas.platform import Platform, Replica
from hetlib.replicas.processes import Replicas
from hetlib_bundle.paths import DATA
from tests import workers


def test_emulated_and_round_trip():
    platform = Platform.emulated([1, 1, 4])
    assert len(platform) == 3
    assert [replica.name for replica in platform.replicas] == ["cpu", "cpu", "cpu/4"]
    assert platform.nominal_speeds == (1.0, 1.0, 0.25)
    assert Platform.from_list(platform.to_list()) == platform


def test_yaml(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(
        "replicas:\n- {device: 'cuda:0', max_batch: 256}\n- {device: cpu, threads: 8, count: 2}\n"
    )
    platform = Platform.from_yaml(path)
    assert [r.device for r in platform.replicas] == ["cuda:0", "cpu", "cpu"]
    assert platform.replicas[2].threads == 8


def test_every_example_platform_can_be_read():
    platforms = {
        path.stem: Platform.from_yaml(path) for path in (DATA / "platforms").glob("*.yaml")
    }
    sizes = {"laptop": 2, "workstation": 2, "cpu-gpu-node": 2, "slurm-two-partitions": 4}
    assert {name: len(platform) for name, platform in platforms.items()} == sizes
    assert platforms["workstation"].replicas[1].multiple == 8


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("replicas: []", "`replicas`"),
        ("devices: [1]", "`replicas`"),
        ("replicas: [cpu]", "replica 0"),
        ("replicas: [{device: tpu}]", "tpu"),
        ("replicas: [{slow: 2}]", "slow"),
        ("replicas: [{count: 0}]", "count"),
        ("replicas: [{threads: 0}]", "threads"),
        ("replicas: [{multiple: 1.5}]", "multiple"),
        ("replicas: [{slowdown: 0.5}]", "slow the others down"),
        ("replicas: [{device: cuda, slowdown: 2}]", "only a CPU replica"),
        ("replicas: [{max_batch: 0}]", "max_batch"),
        ("a: [", "no file of valid YAML"),
    ],
)
def test_bad_files_are_explained(tmp_path, content, word):
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=word):
        Platform.from_yaml(path)


def test_missing_file_and_missing_gpu(tmp_path):
    with pytest.raises(ValueError, match=r"no file of valid YAML .*No such file"):
        Platform.from_yaml(tmp_path / "none.yaml")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="sees no GPU"):
            Replicas(Platform((Replica(device="cuda:0"),)))


def test_slow_down_charges_compute_and_not_waiting():
    """The exact factor is a benchmark's matter; here a wide margin tells a factor of 4 from none on a busy machine."""
    model = build_model("smallcnn", bands=13, classes=8, size=16)
    images, clock = torch.randn(64, 13, 16, 16), SlowDown(4.0, model)
    passes: dict[str, list[float]] = {"forward": [], "backward": []}
    for _ in range(20):
        time.sleep(0.002)  # not charged
        for name, found in passes.items():
            begin, cpu = time.perf_counter(), time.thread_time()
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
    assert not any(m._forward_hooks for m in model.modules())
