"""Ten of the disturbances of `tests.bench.kills`: nobody hangs, stays or is lost."""

import sys
from pathlib import Path

import pytest

from tests.bench import kills

# A caller starts anew twice, and imports torch each time; the workers are those of this process.
OF_WORKERS = [trial for trial in kills.draw(14, 0, seed=1) if trial.victim == "worker"][:7]
OF_CALLERS = [trial for trial in kills.draw(8, 0, seed=1) if trial.victim == "caller"][1:3]
TRIES = [*OF_WORKERS, *OF_CALLERS, *kills.draw(0, 1, seed=1)]


@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at as on Linux")
@pytest.mark.parametrize("number", range(len(TRIES)))
def test_a_disturbance_leaves_nothing_and_the_next_run_works(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills, "TIMEOUT", 6.0)
    trial = TRIES[number]
    with kills.tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as folder:
        outcome = kills.attempt(trial, Path(folder))
    assert outcome.hit, outcome.words
    assert outcome.named is not False, outcome.words
    assert (outcome.hangs, outcome.orphans, outcome.folders) == (False, 0, 0)
    assert (outcome.lost, outcome.damaged) == (0, 0)
    assert outcome.again, outcome.words
