"""Loops with Lightning's Fabric end where one process does."""

from typing import Any

import pytest

from tests.integrations import job, problem

pytest.importorskip("lightning", reason="needs the extra [lightning]")

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    from tests.integrations import workers_fabric as workers

    return job.run(workers.everything, str(tmp_path_factory.mktemp("checkpoints")))


@pytest.mark.parametrize("way", ["plain", "workers"])
def test_the_loop_ends_where_one_process_does(found: list[Found], way: str) -> None:
    problem.assert_same_training(found, "trainings", way, problem.one_process())


def test_accumulated_batches_make_one_step(found: list[Found]) -> None:
    reference = problem.one_process(accumulate=2)
    problem.assert_same_training(found, "trainings", "accumulated", reference)


@pytest.mark.parametrize("mutant", problem.MUTANTS)
def test_a_wrong_weight_ends_elsewhere(found: list[Found], mutant: str) -> None:
    weights = [replica["trainings"][mutant][0] for replica in found]
    problem.assert_wrong(weights, problem.one_process())


@pytest.mark.parametrize("steps", [3, problem.STEPS])
def test_a_resumed_job_trains_each_sample_once(found: list[Found], steps: int) -> None:
    problem.assert_same_training(found, "resumed", f"after_{steps}", problem.one_process())


@pytest.mark.parametrize("loader", ["ours", "plain"])
def test_a_loader_that_would_be_made_anew_is_refused(found: list[Found], loader: str) -> None:
    for replica in found:
        assert "use_distributed_sampler=False" in replica["refusals"][loader]


def test_the_script_runs(found: list[Found]) -> None:
    assert all(replica["script"] == 3 for replica in found)
