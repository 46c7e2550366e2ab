"""Hugging Face's Trainer with the mixin ends where one process does."""

from typing import Any

import pytest

from tests.integrations import job, problem

pytest.importorskip("transformers", reason="needs the extra [transformers]")

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    from tests.integrations import workers_transformers as workers

    return job.run(workers.everything, str(tmp_path_factory.mktemp("checkpoints")))


@pytest.mark.parametrize(
    "way",
    [
        *("means", "sums", "own_loss", "own_loader", "workers"),
        *("mean_all_the_same", "mean_function"),
    ],
)
def test_the_trainer_ends_where_one_process_does(found: list[Found], way: str) -> None:
    problem.assert_same_training(found, "trainings", way, problem.one_process())


@pytest.mark.parametrize(
    ("way", "window"),
    [("means_accumulated", "own"), ("sums_accumulated", "samples"), ("sum_function", "samples")],
)
def test_accumulated_batches_make_one_step(found: list[Found], way: str, window: str) -> None:
    reference = problem.one_process(accumulate=2, window=window)
    problem.assert_same_training(found, "trainings", way, reference)


def test_a_label_that_a_models_settings_leave_out_is_not_counted(found: list[Found]) -> None:
    reference = problem.one_process(loss=problem.labelled_loss)
    problem.assert_same_training(found, "trainings", "segmented", reference)


def test_samples_come_in_the_order_of_the_trainers_sampler(found: list[Found]) -> None:
    from tests.integrations.workers_transformers import DRAWN

    first, second = (replica["trainings"]["in_order"][1] for replica in found)
    assert first[:12] + second[:4] == list(range(16))
    drawn = [number for replica in found for number in replica["trainings"]["drawn"][1]]
    assert sorted(drawn) == sorted(list(range(DRAWN)) * problem.EPOCHS)


@pytest.mark.parametrize("mutant", problem.MUTANTS)
def test_a_wrong_weight_ends_elsewhere(found: list[Found], mutant: str) -> None:
    weights = [replica["trainings"][mutant][0] for replica in found]
    problem.assert_wrong(weights, problem.one_process())


@pytest.mark.parametrize("steps", [3, problem.STEPS, problem.STEPS + 2])
def test_a_resumed_job_trains_each_sample_once(found: list[Found], steps: int) -> None:
    problem.assert_same_training(found, "resumed", f"after_{steps}", problem.one_process())


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("in_loss_func", "leave `balance` out of `compute_loss_func`"),
        ("own_items", "`average_tokens_across_devices` is False"),
        ("unclear", "set `loss_is_scaled_for_ga`"),
        ("dealing_sampler", "DistributedSampler, which deals to the replicas itself"),
        ("filling", "the loader was made with empty='sample'"),
        ("no_plan", "give one of `plan` and `loader`"),
    ],
)
def test_what_cannot_work_says_so(found: list[Found], case: str, words: str) -> None:
    for replica in found:
        assert words in replica["refusals"][case]


def test_the_script_runs(found: list[Found]) -> None:
    assert all(replica["script"] == 3 for replica in found)
