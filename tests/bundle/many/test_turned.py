"""Verdicts on P2 to P5 of small trainings: as claimed where all is right, turned where it is not.

The verdicts could have come out otherwise, and do: with permuted labels and with exchanged names.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from hetlib_bundle import claims
from hetlib_bundle.studies.many import floors, judged
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.study import one_thread
from hetlib_bundle.studies.many.tables import runs_table
from tests.bundle.many import wide

# By the claim, as `15_regime` judges them.
JUDGES = {
    "P2": judged.effective_batch,
    "P3": judged.to_target,
    "P4": judged.lasting,
    "P5": judged.own_rate,
}

# Of a forest: enough for a floor, in a tenth of the time.
TREES = 30


def trained(folder: Path, *, permuted: bool) -> pd.DataFrame:
    """Return all runs of the design, trained here."""
    pytest.importorskip("sklearn")
    with pytest.MonkeyPatch.context() as patch, one_thread():
        patch.setattr(floors, "TREES", TREES)
        wide.add_recipe(patch, permuted=permuted)
        book = Book(folder / "wide.jsonl", computing=True)
        return runs_table(wide.DESIGN, {wide.NAME: book})


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return trained(tmp_path_factory.mktemp("right"), permuted=False)


@pytest.fixture(scope="module")
def permuted(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return trained(tmp_path_factory.mktemp("permuted"), permuted=True)


def verdicts(runs: pd.DataFrame) -> Mapping[str, str]:
    """Return the word on each claim; each has one cell here."""
    register = claims.load()
    values = {}
    for name, judge in JUDGES.items():
        values[name] = claims.column_values(register[name], judge(runs))
    found = claims.judge_values(values)
    assert found.claim.is_unique
    return dict(zip(found.claim, found.verdict, strict=True))


def exchanged(runs: pd.DataFrame, one: tuple[str, str], other: tuple[str, str]) -> pd.DataFrame:
    """Return runs in which two conditions have each other's name: kind and shares."""
    names = {one: other, other: one}
    found = []
    for pair in zip(runs.kind, runs.shares, strict=True):
        found.append(names.get(pair, pair))
    renamed = pd.DataFrame(found, columns=["kind", "shares"], index=runs.index)
    return runs.assign(kind=renamed.kind, shares=renamed.shares)


def test_what_is_right_is_supported(right: pd.DataFrame) -> None:
    assert set(verdicts(right).values()) == {"supported"}
    assert not right.edge.any()


def test_permuted_labels_turn_all(permuted: pd.DataFrame) -> None:
    """Nothing is learnt, so conditions that score alike are no evidence that they train alike."""
    assert set(verdicts(permuted).values()) == {"underpowered"}
    assert permuted.oa.max() < 2 * permuted.chance.max()


def test_exchanged_names_turn_the_lasting_loss(right: pd.DataFrame) -> None:
    found = exchanged(right, ("plain", judged.WORST), ("balanced", judged.WORST))
    assert verdicts(found)["P4"] == "not supported"


def test_exchanged_names_turn_the_steps_to_a_target(right: pd.DataFrame) -> None:
    found = exchanged(right, ("plain", judged.PLANNED), ("single", "128"))
    assert verdicts(found)["P3"] == "not supported"


@pytest.mark.parametrize("points", [2.0, -2.0])
def test_a_plain_mean_that_is_something_else_turns_what_it_is_like(
    right: pd.DataFrame, points: float
) -> None:
    """Its scores are moved: no batch of n_eff, and no single process, has them."""
    plain = (right.kind == "plain") & (right.shares == judged.PLANNED)
    moved = right.assign(oa=right.oa.where(~plain, right.oa + points))
    found = verdicts(moved)
    assert found["P2"] == "not supported"
    assert found["P5"] in ("not supported", "underpowered")
