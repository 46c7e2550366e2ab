"""Claims judged from their values: the word, and the fewest values that it needs."""

import pandas as pd
import pytest

from hetlib_bundle import claims
from hetlib_bundle.claims.judge import word_of_claim
from tests.bundle.claims.made import claim, run


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([-5.0, -6.0, -5.5], "supported"),
        ([-5.0, -6.0], "underpowered"),  # clear, but fewer than 3 values
        ([0.1, 0.2, 0.15], "not supported"),
        ([0.1, 0.15], "underpowered"),
        ([-9.0, 3.0, -5.0], "underpowered"),
    ],
)
def test_words(values: list[float], word: str) -> None:
    cell = {"dataset": "wake", "model": "smallcnn", "setting": ""}
    found = pd.DataFrame({**cell, "seed": range(len(values)), "value": values})
    assert claims.judge(claim(), found).word.tolist() == [word]


def cells(**columns: list[object]) -> pd.DataFrame:
    """Return values of one or more settings of one data set and CNN."""
    count = len(columns["value"])
    found = {"dataset": "wake", "model": "smallcnn", "setting": "", "seed": range(count)}
    return pd.DataFrame(found | columns)


GOOD_VALUES = [-5.0, -6.0, -5.5]


@pytest.mark.parametrize(
    ("beside", "note"),
    [
        ({"edge": [False, True, False]}, "the best rate is at the edge of those tried"),
        ({"trained": [True, False, False]}, "2 of 3 runs learnt no more than a guess"),
    ],
)
def test_a_weak_run_makes_a_clear_effect_underpowered(
    beside: dict[str, list[object]], note: str
) -> None:
    judged = claims.judge(claim(), cells(value=GOOD_VALUES, **beside)).iloc[0]
    assert (judged.word, judged.note) == ("underpowered", note)
    well = {name: [name == "trained"] * 3 for name in beside}
    assert claims.judge(claim(), cells(value=GOOD_VALUES, **well)).word.tolist() == ["supported"]


def test_the_unit_of_a_time_is_the_sitting() -> None:
    timed = claim(repeats="sitting")
    values = [-5.0, -5.1, -4.9, -6.0, -6.1, -5.9, -5.5, -5.4, -5.6]
    sitting = ["a", "a", "a", "b", "b", "b", "c", "c", "c"]
    judged = claims.judge(timed, cells(value=values, sitting=sitting)).iloc[0]
    assert judged.n == 3
    assert judged.word == "supported"
    alone = claims.judge(claim(), cells(value=[-5.0, -6.0, -5.5])).iloc[0]
    assert judged.low == pytest.approx(alone.low)

    once = claims.judge(timed, cells(value=values)).iloc[0]
    assert (once.n, once.word, once.note) == (1, "underpowered", "fewer than 3 sittings")


@pytest.mark.parametrize(
    ("direction", "margin", "values", "word", "worst"),
    [
        ("within", 1e-9, [0.0, 0.0], "identical", 0.0),
        ("within", 1.0, [0.5, -0.9], "holds", -0.9),
        ("within", 1.0, [0.0, 1.1], "broken", 1.1),
        ("below", 1e-12, [1e-15, 3e-15], "holds", 3e-15),
        ("above", 0.25, [0.3, 0.2], "broken", 0.2),
        ("above", -1.0, [0.0, 0.0], "holds", 0.0),
    ],
)
def test_a_check_holds_for_every_value_or_is_broken(
    direction: str, margin: float, values: list[float], word: str, worst: float
) -> None:
    check = claim(role="check", direction=direction, margin=margin)
    judged = claims.judge(check, cells(value=values)).iloc[0]
    assert (judged.word, judged.effect) == (word, worst)
    assert (judged.low, judged.high) == (min(values), max(values))


def three_settings(*effects: float) -> pd.DataFrame:
    """Return three seeds of each setting, around its effect."""
    values = [effect + 0.1 * seed for effect in effects for seed in range(3)]
    settings = [str(number) for number in range(len(effects)) for _ in range(3)]
    return cells(value=values, setting=settings)


@pytest.mark.parametrize(
    ("over", "effects", "word", "speaks"),
    [
        ("every", (-5.0, -4.0, -3.0), "supported", "2"),
        ("every", (-5.0, -4.0, 2.0), "not supported", "2"),
        ("any", (2.0, 3.0, -5.0), "supported", "2"),
        ("any", (2.0, 3.0, 1.0), "not supported", "2"),
    ],
)
def test_over_every_cell_or_over_any(
    over: str, effects: tuple[float, ...], word: str, speaks: str
) -> None:
    one = claim(over=over)
    judged = claims.judge(one, three_settings(*effects))
    assert word_of_claim(one, judged) == word
    assert claims.speaking(one, judged).setting == speaks


def test_that_one_of_many_cells_holds_is_corrected_for_their_number() -> None:
    """By itself the cell holds at p = 0.01; one in twenty does so by chance."""
    right_once = [-1.0 - value for value in (0.30, 0.37, 0.45)]
    assert claims.judge(claim(), cells(value=right_once)).word.tolist() == ["supported"]
    near = [-1.0, -1.3, -0.7]
    values = right_once + 19 * near
    settings = [str(number) for number in range(20) for _ in range(3)]
    one = claim(over="any")
    judged = claims.judge(one, cells(value=values, setting=settings))
    assert word_of_claim(one, judged) == "underpowered"


def test_the_union_of_tests_is_corrected_for_the_number_of_cells() -> None:
    """One cell in twenty is on the wrong side at p = 0.01: by chance, as likely as not."""
    wrong_once = [-1.0 + value for value in (0.30, 0.37, 0.45)]
    assert claims.judge(claim(), cells(value=wrong_once)).word.tolist() == ["not supported"]
    right = [-9.0, -9.1, -9.2]
    values = wrong_once + 19 * right
    settings = [str(number) for number in range(20) for _ in range(3)]
    judged = claims.judge(claim(), cells(value=values, setting=settings))
    assert word_of_claim(claim(), judged) == "underpowered"


def test_of_cells_without_an_interval_the_largest_effect_speaks() -> None:
    one = claim(over="any", direction="above", margin=1.1, repeats="sitting")
    found = cells(value=[1.2, 1.5, 1.0], setting=["a", "b", "c"])
    assert claims.speaking(one, claims.judge(one, found)).setting == "b"
    every = claim(direction="above", margin=1.1, repeats="sitting")
    assert claims.speaking(every, claims.judge(every, found)).setting == "c"


def test_without_a_claim_that_applies_the_table_has_its_columns_and_no_row() -> None:
    found = cells(value=GOOD_VALUES)
    full = claims.judge_values({"C3.3": found})
    none = claims.values(claims.load()["C3.3"], [])
    for values in ({}, {"C3.3": none}, {"C3.3": none, "C3.4": found.iloc[:0]}):
        table = claims.judge_values(values)
        assert table.empty
        assert table.columns.tolist() == full.columns.tolist()

    of_wake = [run("single", 0), run("uneven-plain", 0)]
    of_records = claims.judge_records(["C3.4", "R4"], of_wake)  # about brandenburg
    assert of_records.empty
    assert of_records.columns.tolist() == full.columns.drop("setting").tolist()
