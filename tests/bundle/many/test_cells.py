"""Cells: balanced is one process, permuted labels are chance, a record says what it is of."""

import dataclasses

import numpy as np
import pytest

from hetlib_bundle.studies.many import cells
from hetlib_bundle.studies.many.cells import OWN, REFERENCE, Cell, run_cell
from hetlib_bundle.studies.many.conditions import Condition


def single() -> Cell:
    return Cell(
        recipe="made",
        condition=Condition("single", (32,)),
        steps=40,
        seeds=(0, 1, 2),
        search_seeds=(100, 101),
    )


def of(kind: str, sampling: str = "iid", recipe: str = "made") -> Cell:
    condition = Condition(kind, (22, 7, 2, 1), sampling)
    return dataclasses.replace(single(), condition=condition, recipe=recipe)


def test_balanced_draws_are_one_process():
    one = run_cell(single())
    same = run_cell(of("balanced"), one["rate"])
    for score in ("oa", "aa", "kappa", "worst"):
        assert same["runs"][OWN][score] == one["runs"][OWN][score]
    np.testing.assert_allclose(same["runs"][OWN]["loss"], one["runs"][OWN]["loss"], rtol=1e-4)
    assert same["rate"] == one["rate"]
    assert same["search"]["oa"] == [[]]  # the rate is one process's own


def test_a_cell_is_learnt_and_scored():
    found = run_cell(single())
    assert min(found["runs"][OWN]["oa"]) > 0.75
    assert found["runs"][REFERENCE] == found["runs"][OWN]
    assert found["reference"] == found["rate"]
    assert len(found["search"]["rates"]) == len(found["search"]["oa"]) >= 5
    assert found["n_eff"] == 32
    again = run_cell(single())
    assert again["runs"] == found["runs"]


def test_a_run_at_the_reference_rate_is_one_of_its_own():
    found = run_cell(of("plain"), 0.001)
    assert found["runs"][REFERENCE]["rate"] == 0.001
    assert found["runs"][REFERENCE]["loss"] > found["runs"][OWN]["loss"]
    assert found["n_eff"] == pytest.approx(16 / (1 / 22 + 1 / 7 + 1 / 2 + 1))


@pytest.mark.parametrize("kind", ["single", "plain"])
def test_permuted_labels_give_chance(kind):
    cell = dataclasses.replace(single(), recipe="permuted")
    if kind == "plain":
        cell = of("plain", "class", recipe="permuted")
    scored = cells.score_on_test(dataclasses.replace(cell, seeds=tuple(range(8))), [0.01])
    mean = np.mean(scored[0]["oa"])
    assert abs(mean - 1 / 3) < 0.12
    learnt = cells.score_on_test(single(), [0.01])
    assert np.mean(learnt[0]["oa"]) > mean + 0.2


def test_all_that_decides_a_result_is_in_its_work():
    works = [
        cell.work
        for cell in (
            single(),
            of("plain"),
            of("plain", "class"),
            of("small"),
            dataclasses.replace(single(), steps=41),
            dataclasses.replace(single(), seeds=(0, 1)),
            dataclasses.replace(single(), search_seeds=(100,)),
        )
    ]
    assert all(works.count(work) == 1 for work in works)


@pytest.mark.parametrize(
    "wrong", [{"recipe": "none"}, {"steps": 0}, {"seeds": ()}, {"search_seeds": ()}]
)
def test_wrong_cells_are_named(wrong):
    with pytest.raises(ValueError, match=f"`?{next(iter(wrong))}"):
        dataclasses.replace(single(), **wrong)
