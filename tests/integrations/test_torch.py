"""FSDP2, torch.compile, distributed checkpoints and torchdata's loader against one process."""

from typing import Any

import pytest
import torch

from tests.integrations import job, problem

pytest.importorskip("torchdata", reason="needs the extra [trainers]")

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    from tests.integrations import workers_torch as workers

    return job.run(workers.everything, str(tmp_path_factory.mktemp("checkpoints")))


@pytest.fixture(scope="module")
def reference() -> torch.Tensor:
    return problem.one_process()


@pytest.mark.parametrize("place", ["inside", "outside", "the_loss", "balance_too", "counting_too"])
def test_compiled_trainings_end_where_one_process_does(
    found: list[Found], reference: torch.Tensor, place: str
) -> None:
    problem.assert_same_training(found, "compiled", place, reference)


def test_fully_shard_ends_where_one_process_does(
    found: list[Found], reference: torch.Tensor
) -> None:
    problem.assert_same_training(found, "fsdp", "right", reference)


@pytest.mark.parametrize(
    "way",
    [
        "alone",
        "workers",
        "rare_snapshots",
        "after_an_epoch",
        "after_an_epoch_with_rare_snapshots",
    ],
)
def test_torchdatas_loader_goes_on_from_its_state(
    found: list[Found], reference: torch.Tensor, way: str
) -> None:
    problem.assert_same_training(found, "stateful", way, reference)


@pytest.mark.parametrize("kind", ["network", "sharded"])
def test_a_distributed_checkpoint_goes_on_in_mid_epoch(
    found: list[Found], reference: torch.Tensor, kind: str
) -> None:
    problem.assert_same_training(found, "checkpointed", kind, reference)


@pytest.mark.parametrize("mutant", problem.MUTANTS)
@pytest.mark.parametrize("part", ["compiled_mutants", "fsdp", "stateful"])
def test_a_wrong_weight_ends_elsewhere(
    found: list[Found], reference: torch.Tensor, part: str, mutant: str
) -> None:
    problem.assert_wrong([replica[part][mutant][0] for replica in found], reference)


def test_a_distributed_checkpoint_brings_all_plans_back(found: list[Found]) -> None:
    for replica in found:
        assert replica["plans"] == [[0, [12, 4]], [2, [8, 8]], [7, [10, 6]]]


def test_another_divisor_than_the_replicas_is_refused(found: list[Found]) -> None:
    for replica in found:
        assert "set_gradient_divide_factor(2)" in replica["divided"]["1.0"]
        assert replica["divided"]["2.0"] == ""


def test_the_scripts_run(found: list[Found]) -> None:
    for replica in found:
        ends = {"with_fsdp": 2, "with_compile": 3, "with_stateful_loader": 1}
        assert replica["scripts"] == ends


def test_workers_of_many_short_epochs_all_answer() -> None:
    from tests.integrations import workers_torch as workers

    assert job.run(workers.short_epochs, 200) == [200, 200]
