"""The figure of times to a target draws what the table holds."""

import math

import pandas as pd
import pytest

from hetlib_bundle.figures.rivals import rivals_figure

COLUMNS = ["ratio", "strategy", "time", "low", "high"]


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [
        (4.0, "balanced", 0.9, 0.9, 0.9),
        (4.0, "local SGD", 0.7, 0.5, 1.1),
        (30.0, "balanced", 3.0, 3.0, 3.0),
        (30.0, "local SGD", 2.0, 0.0, math.inf),  # of one seed
        (30.0, "uneven-plain", math.nan, math.nan, math.nan),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_marks_and_intervals_are_those_of_the_table(table: pd.DataFrame) -> None:
    (axes,) = rivals_figure(table).axes
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels == ["balanced", "local SGD", "uneven-plain"]
    few, many = axes.containers
    assert few[0].get_xdata().tolist() == [0.9, 0.7]
    assert many[0].get_xdata().tolist() == [3.0, 2.0]
    (bars,) = few[2]
    found = [segment[:, 0].tolist() for segment in bars.get_segments()]
    assert found == [pytest.approx([0.9, 0.9]), pytest.approx([0.5, 1.1])]
    (bars,) = many[2]
    assert bars.get_segments()[1][:, 0].tolist() == [2.0, 2.0]


def test_a_strategy_that_never_gets_there_has_no_mark(table: pd.DataFrame) -> None:
    never = table.assign(time=math.nan, low=math.nan, high=math.nan)
    (axes,) = rivals_figure(never).axes
    assert all(len(container[0].get_xdata()) == 0 for container in axes.containers)


def test_a_row_says_where_the_target_is_not_reached(table: pd.DataFrame) -> None:
    (axes,) = rivals_figure(table).axes
    assert [text.get_text() for text in axes.texts] == ["target not reached at 1:30"]
    assert axes.texts[0].get_position()[1] == pytest.approx(2.25)  # in the third row
