"""Loops with Hugging Face Accelerate end where one process does."""

from typing import Any

import pytest

from tests.integrations import job, problem

pytest.importorskip("accelerate", reason="needs the extra [accelerate]")

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    from tests.integrations import workers_accelerate as workers

    return job.run(workers.everything, str(tmp_path_factory.mktemp("states")))


@pytest.mark.parametrize("way", ["prepared", "not_prepared", "workers"])
def test_the_loop_ends_where_one_process_does(found: list[Found], way: str) -> None:
    problem.assert_same_training(found, "trainings", way, problem.one_process())


def test_accumulate_makes_the_last_short_window_a_step(found: list[Found]) -> None:
    reference = problem.one_process(accumulate=2)
    problem.assert_same_training(found, "trainings", "accumulated", reference)


@pytest.mark.parametrize("mutant", problem.MUTANTS)
def test_a_wrong_weight_ends_elsewhere(found: list[Found], mutant: str) -> None:
    weights = [replica["trainings"][mutant][0] for replica in found]
    problem.assert_wrong(weights, problem.one_process())


@pytest.mark.parametrize("way", ["registered", "by_itself", "by_skipping"])
def test_a_resumed_job_trains_each_sample_once(found: list[Found], way: str) -> None:
    problem.assert_same_training(found, "resumed", way, problem.one_process())


def test_a_plain_loader_that_is_prepared_is_refused(found: list[Found]) -> None:
    for replica in found:
        assert "use a BalancedLoader" in replica["refusals"]["dealt_twice"]


def test_a_skipping_loaders_batch_is_not_taken_for_the_last_one(found: list[Found]) -> None:
    for replica in found:
        assert "balance(loss, loader, count=len(targets))" in replica["refusals"]["skipped"]


def test_the_script_runs(found: list[Found]) -> None:
    assert all(replica["script"] == 3 for replica in found)
