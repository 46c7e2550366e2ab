"""What each size trains, and what its records are found by."""

from collections.abc import Iterator

import pytest

from hetlib_bundle.studies.many.cells import Cell
from hetlib_bundle.studies.many.designs import DESIGNS, Design, design
from hetlib_bundle.studies.many.floors import TREES, floors_work

CLOSELY = (90, 26, 9, 3)


def closely(size: Design) -> Iterator[Cell]:
    """Cells of shares that are looked at closely, beside those of the map."""
    for cell in size.cells():
        of_map = cell.condition.sampling in ("iid", "random", "class")
        if cell.condition.kind == "balanced" or not of_map:
            yield cell


def test_quick_trains_what_is_shown_alone() -> None:
    size = design("quick")
    found = list(closely(size))
    # both sides of each bar of the figure of what lasts
    for kind in ("plain", "balanced"):
        samplings = {cell.condition.sampling for cell in found if cell.condition.kind == kind}
        assert {"region", "half"} <= samplings
    assert {cell.steps for cell in found} == {max(size.steps)}
    assert all(cell.condition.kind != "subset" for cell in size.cells())


@pytest.mark.parametrize("name", ["standard", "full"])
def test_the_larger_sizes_train_each_condition_at_each_length(name: str) -> None:
    size = design(name)
    for recipe in size.recipes:
        by_length = [size.conditions(recipe, steps) for steps in size.steps]
        assert all(conditions == by_length[0] for conditions in by_length)
        kinds = {condition.kind for condition in by_length[0]}
        assert kinds == {"single", "small", "plain", "subset", "balanced"}


def test_fewer_trees_are_another_work() -> None:
    usual = floors_work("wake-pixels", (0, 1))
    assert floors_work("wake-pixels", (0, 1), TREES) == usual
    assert "trees" not in usual  # as in the records of before
    assert floors_work("wake-pixels", (0, 1), 50) == {**usual, "trees": 50}
    assert DESIGNS["quick"].trees < DESIGNS["standard"].trees == TREES
