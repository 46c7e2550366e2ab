"""Two epochs with a short last batch: replicas train what one process does, whatever the job."""

import pytest

from tests.balanced import workers_jobs
from tests.balanced.job_table import JOBS

# steps of 8, 8 and 3 samples; of 7, 7 and 5
TWO = (6, 2)
THREE = (4, 0, 3)


def worst_error(by_rank, expected):
    worst = 0.0
    for found in by_rank:
        for ours, reference in zip(found, expected, strict=True):
            error = (ours - reference).norm() / reference.norm()
            worst = max(worst, float(error))
    return worst


@pytest.mark.parametrize("shares", [TWO, THREE])
@pytest.mark.parametrize("name", JOBS)
def test_trains_what_one_process_does(team, name, shares):
    by_rank = team(*[1] * len(shares)).run(workers_jobs.in_replicas, name, shares)
    assert worst_error(by_rank, workers_jobs.alone(name, shares)) < JOBS[name].tolerance


@pytest.mark.parametrize("shares", [TWO, THREE])
def test_weights_may_be_sharded_over_the_replicas(team, shares):
    by_rank = team(*[1] * len(shares)).run(workers_jobs.sharded, shares)
    assert worst_error(by_rank, workers_jobs.alone("two views", shares)) < 1e-12


@pytest.mark.parametrize("shares", [TWO, THREE])
def test_the_check_accepts_right_jobs(team, shares):
    team(*[1] * len(shares)).run(workers_jobs.first_gradient_is_accepted, shares)


def test_the_check_accepts_parts(team):
    team(1, 1).run(workers_jobs.parts_are_accepted)


@pytest.mark.parametrize("mutant", ["always 1", "planned"])
@pytest.mark.parametrize("name", ["time first", "GAN", "SAM", "LBFGS", "in place"])
def test_a_wrong_factor_would_be_seen(team, name, mutant):
    by_rank = team(1, 1).run(workers_jobs.in_replicas, name, TWO, mutant)
    assert worst_error(by_rank, workers_jobs.alone(name, TWO)) > 1e-6


@pytest.mark.parametrize("shares", [TWO, THREE])
@pytest.mark.parametrize("name", workers_jobs.LOOPS)
def test_any_loop_trains_every_sample_once_an_epoch(team, name, shares):
    by_rank = team(*[1] * len(shares)).run(workers_jobs.by_loop, name, shares)
    expected = workers_jobs.by_loop(None, name, shares)
    assert worst_error([[found] for found in by_rank], [expected]) < 1e-12


def test_a_sample_that_fills_a_place_has_no_weight(team):
    by_rank = team(1, 1, 1).run(workers_jobs.by_loop, "zip", THREE, "sample")
    expected = workers_jobs.by_loop(None, "zip", THREE)
    assert worst_error([[found] for found in by_rank], [expected]) < 1e-12


def test_other_shares_hold_from_the_first_step_that_no_replica_has_read(team):
    by_rank = team(1, 1).run(workers_jobs.plans_where_one_has_read_ahead)
    assert by_rank == [[(0, (2, 1)), (3, (1, 2))]] * 2
