"""The README's numbers come from records, and its code runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from hetlib_bundle.paths import NOTEBOOKS, ROOT
from tests import readme
from tests.datasets.scenes import write_tif, write_tree
from tests.project import PROJECT

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(*command: str, folder: Path | None = None) -> str:
    """Run an interpreter, in a folder, and return what it printed."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_number_is_made_from_the_recorded_run() -> None:
    assert readme.filled(TEXT) == TEXT


def test_every_script_is_linked() -> None:
    linked = set(re.findall(r"\(notebooks/scripts/(\w+\.py)\)", TEXT))
    assert linked == {path.name for path in (NOTEBOOKS / "scripts").glob("*.py")}


def test_every_extra_is_named() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"test", "bench"}
    assert {name for name in extras if f"`[{name}]`" not in TEXT} == set()


def test_the_five_lines_run_under_torchrun(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(BLOCKS[0])
    printed = run(*TORCHRUN, str(script))
    shares = re.search(r"samples a step of each replica: \((\d+), (\d+)\)", printed)
    assert shares is not None
    assert int(shares[1]) + int(shares[2]) == 128


@pytest.mark.parametrize("name", ["accumulation", "compression", "tokens"])
def test_the_scripts_run_under_torchrun(name: str) -> None:
    script = NOTEBOOKS / "scripts" / f"{name}.py"
    printed = run(*TORCHRUN, str(script))
    assert printed.count("weights equal on all replicas") == 2


def test_the_experiment_runs_as_a_script(tmp_path: Path) -> None:
    body = BLOCKS[1].replace("\n", "\n    ")
    script = tmp_path / "experiment.py"
    script.write_text(f'if __name__ == "__main__":\n    {body}\n')
    printed = run(str(script))
    assert re.search(r"^equal \[64, 64\] \{'oa'", printed, flags=re.MULTILINE)
    assert re.search(r"^balanced \[\d+, \d+\] \{'oa'", printed, flags=re.MULTILINE)


def lines_of(block: str) -> int:
    return sum(1 for line in block.splitlines() if line.strip())


def test_own_images_and_network_take_ten_lines(tmp_path: Path) -> None:
    assert lines_of(BLOCKS[2]) <= 10
    (tmp_path / "mine.py").write_text(BLOCKS[2])
    write_tree(tmp_path / "images")
    printed = run("mine.py", folder=tmp_path)
    for strategy in ("equal", "balanced"):
        line = rf"^images Net {strategy} seed 0: epoch 5/5"
        assert re.search(line, printed, flags=re.MULTILINE)
        assert re.search(rf"^images {strategy} \{{'oa'", printed, flags=re.MULTILINE)


def test_own_scene_to_a_whole_map_takes_ten_lines(tmp_path: Path) -> None:
    assert lines_of(BLOCKS[3]) <= 10
    rng = np.random.default_rng(0)
    truth = (np.indices((180, 200)).sum(0) // 15 % 3 + 1).astype(np.uint8)
    pixels = rng.integers(100, 200, (6, *truth.shape)).astype(np.int16)
    for number in (1, 2, 3):
        pixels[number] += 200 * (truth == number)
    write_tif(tmp_path / "my_scene.tif", pixels)
    labels = np.where(rng.random(truth.shape) < 0.3, 255, truth).astype(np.uint8)
    write_tif(tmp_path / "my_labels.tif", labels[None], nodata=255)
    (tmp_path / "map.py").write_text(BLOCKS[3])
    printed = run("map.py", folder=tmp_path)
    assert re.search(r"^my_scene \{'oa'", printed, flags=re.MULTILINE)
    with rasterio.open(tmp_path / "my_map.tif") as written:
        found = written.read(1)
        assert written.tags()["TRAINED_ON"] == "my_scene"
    assert found.shape == truth.shape
    assert (found == truth).mean() > 0.8
