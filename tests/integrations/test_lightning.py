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


@pytest.mark.parametrize("way", ["plain", "workers", "manual", "often_validated", "reloaded"])
def test_the_trainer_ends_where_one_process_does(found: list[Found], way: str) -> None:
    problem.assert_same_training(found, "trainings", way, problem.one_process())


def test_accumulated_batches_make_one_step(found: list[Found]) -> None:
    reference = problem.one_process(accumulate=2)
    problem.assert_same_training(found, "trainings", "accumulated", reference)


def test_a_loss_over_what_is_counted_ends_where_one_process_does(found: list[Found]) -> None:
    reference = problem.one_process(loss=problem.labelled_loss)
    problem.assert_same_training(found, "trainings", "counted", reference)


def test_a_sample_that_fills_a_place_is_not_counted(found: list[Found]) -> None:
    from tests.integrations.workers_lightning import ONE_LEFT

    data = problem.Samples(ONE_LEFT)
    reference = problem.one_process(loss=problem.labelled_loss, data=data)
    problem.assert_exact([replica["trainings"]["filled"][0] for replica in found], reference)


def test_beside_a_longer_loader_no_epoch_comes_again(found: list[Found]) -> None:
    seen = [replica["trainings"]["beside_a_longer"][1] for replica in found]
    assert sorted(seen[0] + seen[1]) == sorted(list(range(problem.SAMPLES)) * 3)


def test_epochs_cut_short_by_the_trainer_each_begin_anew(found: list[Found]) -> None:
    weights = [replica["trainings"]["limited"][0] for replica in found]
    problem.assert_exact(weights, problem.one_process(steps=3))


@pytest.mark.parametrize("mutant", problem.MUTANTS)
def test_a_wrong_weight_ends_elsewhere(found: list[Found], mutant: str) -> None:
    weights = [replica["trainings"][mutant][0] for replica in found]
    problem.assert_wrong(weights, problem.one_process())


@pytest.mark.parametrize("steps", [3, problem.STEPS, problem.STEPS + 2])
def test_a_resumed_job_trains_each_sample_once(found: list[Found], steps: int) -> None:
    problem.assert_same_training(found, "resumed", f"after_{steps}", problem.one_process())


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
        ("no_count", "`count` is 5; it must be a function of a batch"),
        ("rate_finder", "LearningRateFinder takes the other callbacks away"),
        ("tuner", "LearningRateFinder takes the other callbacks away"),
    ],
)
def test_what_cannot_work_says_so(found: list[Found], case: str, words: str) -> None:
    for replica in found:
        assert words in replica["refusals"][case]


def test_the_script_runs(found: list[Found]) -> None:
    assert all(replica["script"] for replica in found)
