"""The README's numbers come from records, and its code runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hetlib_bundle.paths import NOTEBOOKS, ROOT
from tests import readme

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(*command: str) -> str:
    """Run an interpreter, and return what it printed."""
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
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_number_is_made_from_the_recorded_run() -> None:
    assert readme.filled(TEXT) == TEXT


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
