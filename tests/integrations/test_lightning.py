"""Lightning's Trainer with the callback ends where one process does."""

from typing import Any

import pytest

from tests.integrations import job, problem

pytest.importorskip("lightning", reason="needs the extra [lightning]")

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    from tests.integrations import workers_lightning as workers

    return job.run(workers.everything, str(tmp_path_factory.mktemp("checkpoints")))


def ends(found: list[Found], part: str, way: str) -> tuple[list[Any], list[list[int]]]:
    """The weights and the samples seen of each replica."""
    weights = [replica[part][way][0] for replica in found]
    seen = [replica[part][way][1] for replica in found]
    return weights, seen


@pytest.mark.parametrize("way", ["plain", "workers", "manual", "often_validated", "reloaded"])
def test_the_trainer_ends_where_one_process_does(found: list[Found], way: str) -> None:
    weights, seen = ends(found, "trainings", way)
    problem.assert_exact(weights, problem.one_process())
    problem.assert_each_once(seen)


def test_accumulated_batches_make_one_step(found: list[Found]) -> None:
    weights, seen = ends(found, "trainings", "accumulated")
    problem.assert_exact(weights, problem.one_process(accumulate=2))
    problem.assert_each_once(seen)


def test_epochs_cut_short_by_the_trainer_each_begin_anew(found: list[Found]) -> None:
    weights, _ = ends(found, "trainings", "limited")
    problem.assert_exact(weights, problem.one_process(steps=3))


@pytest.mark.parametrize("mutant", problem.MUTANTS)
def test_a_wrong_weight_ends_elsewhere(found: list[Found], mutant: str) -> None:
    weights, _ = ends(found, "trainings", mutant)
    problem.assert_wrong(weights, problem.one_process())


@pytest.mark.parametrize("steps", [3, problem.STEPS, problem.STEPS + 2])
def test_a_resumed_job_trains_each_sample_once(found: list[Found], steps: int) -> None:
    weights, seen = ends(found, "resumed", f"after_{steps}")
    problem.assert_exact(weights, problem.one_process())
    problem.assert_each_once(seen)


def test_a_plan_changed_before_an_epochs_end_is_kept(found: list[Found]) -> None:
    for replica in found:
        assert replica["plans"] == [[0, [12, 4]], [7, [8, 8]]]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("replaced", "Trainer(use_distributed_sampler=False)"),
        ("overfit", "use `limit_train_batches`"),
        ("not_ours", "trains with DataLoader, but not with a BalancedLoader"),
        ("another", "not with the `loader` of this callback"),
        ("several", "has 2 balanced loaders"),
        ("twice", "weighted twice"),
    ],
)
def test_what_cannot_work_says_so(found: list[Found], case: str, words: str) -> None:
    for replica in found:
        assert words in replica["refusals"][case]


def test_the_script_runs(found: list[Found]) -> None:
    assert all(replica["script"] for replica in found)
