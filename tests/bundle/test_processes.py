"""Uneven processes against one process: the table, and two small trainings."""

import hetlib
from hetlib_bundle.studies import processes
from tests.bundle.claims.made import run


def test_the_difference_is_that_of_the_same_seed_and_split() -> None:
    by_kind = {
        processes.PROCESSES: [run("balanced", seed, 0.5 + seed / 100) for seed in (0, 1)],
        processes.SINGLE: [run("single", seed, 0.5) for seed in (0, 1)],
        processes.DOUBLE: [run("single", seed, 0.52) for seed in (0, 1)],
    }
    table = processes.differences({"1:2, GroupNorm": by_kind})
    assert table["OA - single"].round(9).tolist() == [0.0, 1.0]
    assert table["OA of float64 - single"].round(9).tolist() == [2.0, 2.0]
    assert table.setting.unique().tolist() == ["1:2, GroupNorm"]
    assert table.shares.tolist() == ["96/32", "96/32"]


def test_a_run_at_chance_is_not_trained() -> None:
    """There is one class, so that a guess is always right."""
    by_kind = {kind: [run("balanced", 0, 0.99)] for kind in processes.KINDS}
    assert processes.differences({"1:2, GroupNorm": by_kind}).trained.tolist() == [False]


def test_processes_train_what_one_process_trains() -> None:
    base = hetlib.Experiment(
        dataset="wake",
        dataset_options={"per_class": 20},
        epochs=1,
        lr=0.05,
        evaluate_every=0,
    )
    settings = processes.settings_of([2.0], ["BatchNorm"])
    found = processes.trained(base, settings, [3], seconds=0.5)
    table = processes.differences(found)
    assert table.seed.tolist() == [3]
    assert table["OA - single"].abs().max() < 1
    shares = table.shares[0].split("/")
    assert sum(map(int, shares)) == base.global_batch
    assert "0" not in shares
    assert processes.shares_of(found) == {"1:2, BatchNorm": tuple(map(int, shares))}
    options = found["1:2, BatchNorm"][processes.PROCESSES][0].experiment["dataset_options"]
    assert options["seed"] == 3


def test_shares_that_are_known_are_not_planned_again() -> None:
    base = hetlib.Experiment(dataset="wake", dataset_options={"per_class": 20}, max_steps=1)
    settings = processes.settings_of([2.0], ["GroupNorm"])
    kinds = (processes.PROCESSES, processes.SINGLE)
    known = {"1:2, GroupNorm": (100, 28)}
    found = processes.trained(base, settings, [3], seconds=0.5, kinds=kinds, shares=known)
    assert processes.shares_of(found) == known
    assert list(found["1:2, GroupNorm"]) == list(kinds)
