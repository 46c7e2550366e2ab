"""Tasks, samplers and networks of remote sensing end where one process does."""

from typing import Any

import pytest

from tests.integrations import job, problem

pytest.importorskip("torchgeo", reason="needs the extra [trainers]")
pytest.importorskip("segmentation_models_pytorch", reason="needs the extra [trainers]")

Found = dict[str, Any]
NETWORKS = ("task", "timm", "segmentation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def references(folder: str) -> Found:
    from tests.integrations import workers_models as workers

    workers.write_raster(folder)
    return job.run(workers.references, folder, replicas=1)[0]


@pytest.fixture(scope="module")
def found(references: Found, folder: str) -> list[Found]:
    from tests.integrations import workers_models as workers

    return job.run(workers.everything, folder)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_ends_where_one_process_does(
    found: list[Found], references: Found, network: str
) -> None:
    problem.assert_same_training(found, network, "right", references[network])


@pytest.mark.parametrize("mutant", problem.MUTANTS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_wrong_weight_ends_elsewhere(
    found: list[Found], references: Found, network: str, mutant: str
) -> None:
    weights = [replica[network][mutant][0] for replica in found]
    problem.assert_wrong(weights, references[network])


def test_windows_that_torchgeo_draws_are_dealt(found: list[Found], references: Found) -> None:
    weights, windows = references["windows"]
    problem.assert_exact([replica["windows"]["right"][0] for replica in found], weights)
    dealt = [window for replica in found for window in replica["windows"]["right"][1]]
    assert sorted(dealt) == sorted(windows)


def test_the_scripts_run(found: list[Found]) -> None:
    for replica in found:
        assert replica["scripts"] == [2, 2]
