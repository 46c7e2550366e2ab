"""How a process died and whether it stands still, in words and as the system tells it."""

import signal

import pytest

from hetlib.replicas import life


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "ended with exit code 3; the other replicas were stopped."),
        (
            None,
            "ended with exit code None; the other replicas were stopped.",
        ),
        (-11, "was killed by SIGSEGV; the other replicas were stopped."),
        (
            -9,
            "was killed by SIGKILL (often: out of memory); the other replicas were stopped.",
        ),
        (-63, "was killed by signal 63; the other replicas were stopped."),
    ],
)
def test_a_death_is_told_also_without_a_name_for_its_signal(code, words):
    assert life.death(code) == words


def test_a_death_is_told_where_the_system_has_few_signals(monkeypatch):
    monkeypatch.delattr(signal, "SIGKILL")

    def unknown(number):
        raise ValueError(f"{number} is not a valid Signals")

    monkeypatch.setattr(signal, "Signals", unknown)
    assert life.death(-9).startswith("was killed by signal 9;")
