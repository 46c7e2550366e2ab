"""Real processes: results by rank, warm workers, and every way to die."""

import dataclasses
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import hetlib
from hetlib.errors import ReplicaError
from hetlib.replicas import starting
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


def test_workers_start_where_no_server_can_fork_them(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    context = starting.way_to_start()
    assert context.get_start_method() == "spawn"
    with Replicas(hetlib.Platform.emulated([1])) as replicas:
        assert replicas.run(workers.square, 3) == [9]


def test_sigkill_in_mid_training(pool):
    hetlib.train(TINY, pool)  # the data are decoded
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


@pytest.mark.parametrize("phase", [workers.compute_without_end, workers.reach_a_barrier_of_some])
def test_a_stopped_replica_is_named_within_the_time_out_with_or_without_collectives(phase):
    with Replicas(hetlib.Platform.emulated([1, 1, 1]), timeout=4) as replicas:
        victim = replicas.run(workers.process_id)[1]
        timer = threading.Timer(1.0, lambda: os.kill(victim, signal.SIGSTOP))
        timer.start()
        begin = time.monotonic()
        with pytest.raises(ReplicaError, match=r"replica 1 of 3.*no sign of life.*was stopped"):
            replicas.run(phase)
        assert time.monotonic() - begin < 20
        assert not psutil.pid_exists(victim)
        assert replicas.run(workers.square, 2) == [4, 5, 6]


def test_a_replica_that_stops_in_the_middle_of_a_message_is_named():
    with Replicas(hetlib.Platform.emulated([1, 1]), timeout=4) as replicas:
        replicas.run(workers.process_id)
        begin = time.monotonic()
        with pytest.raises(ReplicaError, match=r"replica 1 of 2.*no sign of life.*was stopped"):
            replicas.run(workers.stop_in_a_message)
        assert time.monotonic() - begin < 20
        assert replicas.run(workers.square, 2) == [4, 5]


def test_a_replica_that_stopped_before_a_job_with_large_arguments_is_named():
    with Replicas(hetlib.Platform.emulated([1, 1]), timeout=4) as replicas:
        os.kill(replicas.run(workers.process_id)[0], signal.SIGSTOP)
        with pytest.raises(ReplicaError, match=r"replica 0 of 2.*no sign of life.*was stopped"):
            replicas.run(workers.square, np.ones(10**6))
        zero, one = replicas.run(workers.square, np.ones(10**6))
        assert (zero.sum(), one.sum()) == (10**6, 2 * 10**6)


def test_a_long_step_without_a_collective_is_no_standstill():
    with Replicas(hetlib.Platform.emulated([1, 1]), timeout=1) as replicas:
        assert replicas.run(workers.sleep, 3.0) == [0, 1]
        assert replicas.run(workers.hold_the_interpreter, 3.0) == [0, 1]


def test_the_time_out_holds_in_a_group_of_some_replicas():
    begin = time.monotonic()
    with (
        Replicas(hetlib.Platform.emulated([1, 1, 1]), timeout=3) as replicas,
        pytest.raises(ReplicaError, match=r"(?i)replica 0 of 3(.|\n)*time"),
    ):
        replicas.run(workers.miss_a_collective_of_some)
    assert time.monotonic() - begin < 30


def test_a_worker_that_dies_before_its_first_job_is_named(monkeypatch):
    replicas = Replicas(hetlib.Platform.emulated([1, 1]), timeout=20)
    start = replicas._start_worker

    def start_and_kill(context, rank):
        worker = start(context, rank)
        if rank == 1:
            worker.process.kill()
            worker.process.join()
        return worker

    monkeypatch.setattr(replicas, "_start_worker", start_and_kill)
    with pytest.raises(ReplicaError, match=r"replica 1 of 2 \(cpu\) was killed by SIGKILL"):
        replicas.run(workers.square, 2)
    monkeypatch.undo()
    with replicas:
        assert replicas.run(workers.square, 2) == [4, 5]


def test_an_error_of_a_pipe_in_a_job_is_an_error_of_the_job(pool):
    for kind in (BrokenPipeError, EOFError, ConnectionResetError):
        with pytest.raises(ReplicaError, match=rf"failed(.|\n)*{kind.__name__}: of the job"):
            pool.run(workers.raise_error, kind)


def test_workers_are_forked_before_anybody_looks_for_a_gpu():
    """The server that forks them imports much, and the parent has looked."""
    torch.cuda.is_available()
    with Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        assert replicas.run(workers.may_use_gpus) == [True, True]


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
    with pytest.raises(ValueError, match="`dataset` is 'atlantis'; allowed are"):
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
