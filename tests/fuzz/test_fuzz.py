"""A part of the fuzz in the suite: 300 odd inputs, each a clear error or a right result, soon."""

import contextlib
from pathlib import Path

import pytest

from tests.bench import fuzz
from tests.fuzz import verdict

NUMBER = 300
SEED = 7


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_odd_inputs_are_clear_errors_or_right_results(kind: str, tmp_path: Path) -> None:
    part = fuzz.KINDS[kind].part
    found = fuzz.outcomes(kind, max(round(part * NUMBER), 3), SEED, tmp_path)
    wrong = [outcome for outcome in found if outcome.found.verdict in fuzz.WRONG]
    assert not wrong, "\n".join(map(str, wrong[:3]))


def test_an_input_is_drawn_from_its_seed_alone(tmp_path: Path) -> None:
    one, again = (fuzz.case_of("state", "state 0 1", tmp_path) for _ in range(2))
    assert one.about == again.about


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: {}[1], "unclear"),
        (lambda: int("x"), "unclear"),
        (lambda: verdict.hetlib.deal, "unclear"),
        (lambda: verdict.hetlib.Replica(threads=0), "clear"),
        (lambda: verdict.hetlib.Replica(threads=1).threads, "accepted"),
        (lambda: bytearray(200 * 2**20), "memory"),
    ],
)
def test_verdicts(make: object, word: str) -> None:
    case = verdict.Case("a case", make, use=lambda made: made)
    assert verdict.judged(case).verdict == word


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "LIMIT", 0.2)

    def never() -> None:
        while True:
            with contextlib.suppress(Exception):
                int("x")

    assert verdict.judged(verdict.Case("endless", never)).verdict == "slow"
