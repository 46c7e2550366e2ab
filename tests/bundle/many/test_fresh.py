"""Claims on fresh seeds: rates that lose no run, runs that are left out, verdicts that can turn."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hetlib.balanced.shares import slashed
from hetlib_bundle import claims
from hetlib_bundle.studies.many import fresh, fresh_tables
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.fresh import PLANNED, WORST, Fresh, safe_rate
from hetlib_bundle.studies.many.study import one_thread
from hetlib_bundle.studies.many.tables import AT_CHANCE
from tests.bundle.many import wide

# By the claim, as `19_fresh` judges them.
JUDGES = {
    "Q2": fresh_tables.effective_batch,
    "Q3": fresh_tables.to_target,
    "Q4": fresh_tables.lasting,
    "Q5": fresh_tables.own_rate,
}

DESIGN = Fresh(
    recipes=(wide.NAME,),
    steps=(6, 12, 24, 48),
    judged=(24, 48),
    seeds=tuple(range(16)),
    search_seeds=(100, 101, 102, 103),
    together=8,
)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # none is lost: the best mean
        ([[0.7, 0.7], [0.8, 0.8], [0.79, 0.79]], (0.2, False)),
        # the best rate loses a seed, and the one below it is too near
        ([[0.7, 0.7], [0.75, 0.75], [0.78, 0.77], [0.99, 0.3]], (0.1, True)),
        ([[0.7, 0.7], [0.75, 0.75], [0.78, 0.77], [0.79, 0.3]], (0.2, False)),
        # the best mean survives, and its neighbour does not: below it, others are worse
        ([[0.82, 0.7], [0.83, 0.75], [0.9, 0.3]], (0.1, False)),
        # a hard split is no lost one
        ([[0.7, 0.4], [0.8, 0.5], [0.79, 0.48]], (0.2, False)),
        # the best one is the highest, or the lowest, that was tried
        ([[0.7, 0.7], [0.75, 0.75]], (0.2, True)),
        ([[0.75, 0.75], [0.7, 0.7]], (0.1, True)),
        # every rate loses a seed: the lowest, of which nothing is known
        ([[0.9, 0.3], [0.3, 0.9]], (0.1, True)),
    ],
)
def test_a_rate_keeps_away_from_those_that_lose_a_seed(
    scores: list[list[float]], expected: tuple[float, bool]
) -> None:
    rates = [0.1, 0.2, 0.4, 0.8][: len(scores)]
    assert safe_rate(rates, np.array(scores)) == expected


def test_fresh_seeds_are_of_no_search_and_of_no_pilot() -> None:
    for design in fresh.FRESH.values():
        assert not set(design.seeds) & set(design.search_seeds)
        assert min(design.seeds) > 200
        assert [seed for block in design.blocks() for seed in block] == list(design.seeds)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """All runs of the design on a made-up task, trained here."""
    folder: Path = tmp_path_factory.mktemp("fresh")
    with pytest.MonkeyPatch.context() as patch, one_thread():
        wide.add_recipe(patch, permuted=False)
        book = Book(folder / "wide.jsonl", computing=True)
        fresh.do_fresh(DESIGN, {wide.NAME: book}, tell=lambda line: None)
        done = len(book)
        found, missing = fresh_tables.table_of(DESIGN, {wide.NAME: book})
        assert len(book) == done  # the tables compute nothing more
        assert missing == 0

        # as another reader finds them, who computes nothing
        again = Book(folder / "wide.jsonl", computing=False)
        read, _ = fresh_tables.table_of(DESIGN, {wide.NAME: again})
        pd.testing.assert_frame_equal(read, found)
    return found


def verdicts(runs: pd.DataFrame, names: Sequence[str] = tuple(JUDGES)) -> Mapping[str, str]:
    """Return the word on some claims over their cells, with as many seeds as there are here."""
    words = {}
    for name in names:
        judge = JUDGES[name]
        claim = dataclasses.replace(claims.load()[name], least=8)
        values = claims.column_values(claim, judge(runs))
        words[name] = claims.word_of_claim(claim, claims.judge(claim, values))
    return words


def test_what_is_right_is_supported(runs: pd.DataFrame) -> None:
    """With 600 training samples the worst shares cost more than a batch of n_eff does."""
    planned = verdicts(runs[runs.shares.isin(("128", slashed(PLANNED)))], ("Q2", "Q3", "Q5"))
    assert planned["Q2"] == "supported"
    assert planned["Q3"] == "supported"
    assert planned["Q5"] == "supported"
    every = verdicts(runs)
    assert every["Q2"] == "not supported"
    assert every["Q4"] == "supported"
    assert every["Q5"] == "not supported"


def test_the_plain_mean_and_its_control_have_one_rate(runs: pd.DataFrame) -> None:
    control = runs[runs.role == fresh_tables.CONTROL]
    small = runs[runs.kind == "small"]
    on = ["shares", "steps", "seed"]
    both = control.merge(small, on=on, suffixes=("", " beside"))
    assert len(both) == 4 * len(DESIGN.seeds)
    assert (both.rate == both["rate beside"]).all()


def test_exchanged_names_turn_the_lasting_loss_and_the_steps(runs: pd.DataFrame) -> None:
    kinds = runs.kind.replace({"plain": "balanced", "balanced": "plain"})
    exchanged = runs.assign(kind=kinds.where(runs.sampling == "random", runs.kind))
    assert verdicts(exchanged)["Q4"] == "not supported"

    plain = (runs.kind == "plain") & (runs.shares == slashed(PLANNED)) & (runs.role == "own")
    single = runs.kind == "single"
    exchanged = runs.copy()
    exchanged.loc[plain, ["kind", "shares"]] = ["single", "128"]
    exchanged.loc[single, ["kind", "shares"]] = ["plain", slashed(PLANNED)]
    assert verdicts(exchanged)["Q3"] == "not supported"


@pytest.mark.parametrize("points", [2.5, -2.5])
def test_a_plain_mean_that_is_something_else_is_no_batch_of_n_eff(
    runs: pd.DataFrame, points: float
) -> None:
    planned = runs[runs.shares.isin(("128", slashed(PLANNED)))]
    moved = planned.oa.where(planned.role != fresh_tables.CONTROL, planned.oa + points)
    assert verdicts(planned.assign(oa=moved), ["Q2"])["Q2"] == "not supported"


def test_a_seed_with_a_lost_run_is_left_out_of_both_sides(runs: pd.DataFrame) -> None:
    worst = (runs.shares == slashed(WORST)) & (runs.sampling == "random")
    lost = worst & (runs.kind == "plain") & (runs.seed == 3)
    with_lost = runs.assign(mark=runs.mark.where(~lost, AT_CHANCE), oa=runs.oa.where(~lost, 12.5))
    found = fresh_tables.lasting(with_lost)
    assert 3 not in set(found.seed)
    assert len(found) == len(DESIGN.seeds) - 1
    assert found["left out"].unique() == pytest.approx([1 / len(DESIGN.seeds)])
    # one of sixteen is more than one in fifty
    assert verdicts(with_lost)["Q4"] == "underpowered"
    assert verdicts(with_lost)["Q3"] == verdicts(runs)["Q3"]


def test_few_lost_seeds_leave_a_recipe_trained(runs: pd.DataFrame) -> None:
    many = [runs.assign(seed=runs.seed + 100 * copy) for copy in range(5)]
    known = pd.concat(many, ignore_index=True)
    worst = (known.shares == slashed(WORST)) & (known.sampling == "random")
    lost = worst & (known.kind == "plain") & (known.seed == 3)
    found = fresh_tables.lasting(known.assign(mark=known.mark.where(~lost, AT_CHANCE)))
    assert found.trained.all()
    assert len(found) == 5 * len(DESIGN.seeds) - 1
