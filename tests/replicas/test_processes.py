"""Real processes: results by rank, warm workers, and every way to die."""

import dataclasses
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import hetlib
from hetlib.errors import ReplicaError
from hetlib.replicas import processes
from hetlib.replicas.processes import Replicas
from hetlib.training.experiment import Experiment
from tests import workers

TINY = Experiment(
    epochs=1,
    shares=(24, 8),
    global_batch=32,
    dataset_options={"per_class": 24},
)


@pytest.fixture
def pool(team):
    return team(1, 1)


def test_results_come_back_by_rank_from_warm_workers(pool):
    assert pool.run(workers.square, 3) == [9, 10]
    first = pool.run(workers.process_id)
    assert pool.run(workers.process_id) == first


@pytest.mark.parametrize("victim", [0, 1])
def test_an_exception_arrives_with_its_traceback_and_the_next_job_works(pool, victim):
    message = rf"replica {victim} of 2 \(cpu\) failed(.|\n)*KeyError: 'no such band'"
    with pytest.raises(ReplicaError, match=message):
        pool.run(workers.fail, victim)
    assert pool.run(workers.square, 2) == [4, 5]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_replica_is_named_with_its_signal(pool, signum):
    pool.run(workers.square, 2)
    before = pool.run(workers.process_id)
    begin = time.monotonic()
    with pytest.raises(ReplicaError, match=f"replica 1 of 2.*{signum.name}"):
        pool.run(workers.die, 1, signum)
    assert time.monotonic() - begin < 30
    assert not any(psutil.pid_exists(pid) for pid in before)
    assert pool.run(workers.square, 2) == [4, 5]


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
    assert processes._death(code) == words


def test_a_death_is_told_where_the_system_has_few_signals(monkeypatch):
    monkeypatch.delattr(signal, "SIGKILL")

    def unknown(number):
        raise ValueError(f"{number} is not a valid Signals")

    monkeypatch.setattr(signal, "Signals", unknown)
    assert processes._death(-9).startswith("was killed by signal 9;")


def test_workers_start_where_no_server_can_fork_them(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    context = processes._context()
    assert context.get_start_method() == "spawn"
    with Replicas(hetlib.Platform.emulated([1])) as replicas:
        assert replicas.run(workers.square, 3) == [9]


def test_sigkill_in_mid_training(pool):
    victim = pool.run(workers.process_id)[1]
    others = pool.run(workers.process_id)
    long = dataclasses.replace(TINY, epochs=500)
    timer = threading.Timer(2.0, lambda: psutil.Process(victim).kill())
    timer.start()
    begin = time.monotonic()
    with pytest.raises(ReplicaError, match=r"replica 1 of 2 \(cpu\) was killed by SIGKILL"):
        hetlib.train(long, pool)
    assert time.monotonic() - begin < 30
    assert not any(psutil.pid_exists(pid) for pid in others)
    assert hetlib.train(TINY, pool).epochs


def test_a_missed_collective_ends_as_an_error_within_the_time_out():
    impatient = Replicas(hetlib.Platform.emulated([1, 1]), timeout=3)
    with (
        impatient,
        pytest.raises(ReplicaError, match=r"(?i)replica 0 of 2(.|\n)*time"),
    ):
        impatient.run(workers.miss_a_collective_and_stay)


def test_functions_of_a_notebook_cell_are_refused():
    def cell_function(rank):
        return rank

    cell_function.__module__ = "__main__"
    with pytest.raises(ValueError, match="move it to a module"):
        Replicas(hetlib.Platform.emulated([1])).run(cell_function)


def test_bad_input_is_refused_before_any_worker_starts():
    replicas = Replicas(hetlib.Platform.emulated([1, 1]))
    with pytest.raises(ValueError, match="name"):
        hetlib.train(
            Experiment(dataset="atlantis", shares=(24, 8), global_batch=32),
            replicas,
        )
    with pytest.raises(ValueError, match="2 replicas"):
        hetlib.train(Experiment(shares=(24, 4, 4), global_batch=32), replicas)
    assert replicas._workers == []


def test_closing_leaves_no_process_and_no_file():
    replicas = Replicas(hetlib.Platform.emulated([1, 1]))
    pids = replicas.run(workers.process_id)
    folder = replicas._folder
    replicas.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert folder
    assert not Path(folder).exists()
