"""A bar where somebody looks."""

import re
import sys
import time

import pytest

import hetlib
from hetlib.planning.progress import spending
from tests.planning import workers

SMALL = hetlib.Experiment(global_batch=32, dataset_options={"per_class": 24})


def test_a_bar_shows_the_seconds_spent_and_ends_with_its_block(capsys):
    with spending("planning", 4, True):
        time.sleep(1.3)
    drawn = capsys.readouterr().err
    spent = [int(n) for n in re.findall(r"planning: +\d+%\|.*?\| (\d) of 4 s", drawn)]
    assert spent == sorted(spent)
    assert {0, 1} <= set(spent) <= {0, 1, 2}
    assert re.findall(r"planning: +(\d+)%", drawn)[:3] == ["0", "12", "25"]
    with pytest.raises(ZeroDivisionError), spending("planning", 4, True):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("terminal", "kernel", "batch", "shown"),
    [
        (True, False, False, True),
        (False, False, False, False),
        (False, True, False, True),
        (False, True, True, False),
        (True, True, True, False),
    ],
)
def test_a_bar_is_drawn_where_somebody_looks(monkeypatch, capsys, terminal, kernel, batch, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.delenv("HETLIB_BATCH", raising=False)
    if kernel:
        monkeypatch.setitem(sys.modules, "ipykernel", pytest)
    if batch:
        monkeypatch.setenv("HETLIB_BATCH", "1")
    with spending("planning", 1, None):
        pass
    assert ("planning" in capsys.readouterr().err) == shown


def test_without_tqdm_there_is_no_bar(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    done = []
    with spending("planning", 1, True):
        done.append("planned")
    assert done == ["planned"]
    assert capsys.readouterr().err == ""
    with pytest.raises(ZeroDivisionError), spending("planning", 1, True):
        raise ZeroDivisionError


def test_planning_and_measuring_show_a_bar_where_they_were_called(team, capsys):
    replicas = team(1, 12)
    for shown in (True, False, None):
        hetlib.measure(SMALL, replicas, seconds=0.1, progress=shown)
        assert ("measuring:" in capsys.readouterr().err) == bool(shown)
        hetlib.plan_experiment(SMALL, replicas, seconds=0.1, progress=shown)
        assert ("planning:" in capsys.readouterr().err) == bool(shown)


def test_rank_0_alone_shows_the_bar_of_a_script_of_ones_own(team):
    replicas = team(1, 12)
    assert replicas.run(workers.bars_drawn, True) == [True, False]
    assert replicas.run(workers.bars_drawn, False) == [False, False]
