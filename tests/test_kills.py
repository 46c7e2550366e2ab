"""Ten of the disturbances of `tests.bench.kills`: nobody hangs, stays or is lost."""

import sys
from pathlib import Path

import pytest

from tests.bench import kills

TRIES = [*kills.draw(8, 0, seed=1), *kills.draw(0, 2, seed=1)]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at as on Linux")
@pytest.mark.parametrize("number", range(len(TRIES)))
def test_a_disturbance_leaves_nothing_and_the_next_run_works(number: int, tmp_path: Path) -> None:
    trial = TRIES[number]
    with kills.tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        outcome = kills.attempt(trial, Path(folder))
    assert outcome.hit
    assert outcome.named is not False, outcome.words
    assert (outcome.hangs, outcome.orphans, outcome.folders) == (False, 0, 0)
    assert (outcome.lost, outcome.damaged) == (0, 0)
    assert outcome.again
