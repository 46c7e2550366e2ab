"""Real steps of whole plans in turns."""

from tests.planning import workers


def test_a_race_tells_computing_from_waiting_and_has_one_budget(team):
    replicas = team(1, 12)
    first, second = replicas.run(workers.equal_shares_in_a_race, 12.0)
    assert first == second
    steps, computes = first
    assert steps > 3  # those that every plan gets
    assert computes[1] > 2 * computes[0]  # as long as each other if waiting counted


def test_plans_that_are_near_each_other_take_more_steps(team):
    fast = (20, 12)
    near = (21, 11)
    slow = (16, 16)
    seconds = {fast: 0.05, near: 0.0503, slow: 0.09}
    first, second = team(1, 12).run(workers.plans_of_known_times, seconds)
    assert first == second
    assert first == {fast: 7, near: 7, slow: 3}


def test_plans_that_are_far_from_each_other_take_no_more_steps(team):
    fast = (20, 12)
    slow = (16, 16)
    seconds = {fast: 0.02, slow: 0.05}
    steps, _ = team(1, 12).run(workers.plans_of_known_times, seconds)
    assert steps == {fast: 3, slow: 3}


def test_a_model_with_unused_parameters(team):
    first, second = team(1, 12).run(workers.unused_parameters)
    assert first == second
    assert sum(first.shares) == 16
