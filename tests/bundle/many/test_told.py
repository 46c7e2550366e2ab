"""Sentences on maps and shards say what the tables hold, and leave out what is at chance."""

import pandas as pd

from hetlib_bundle.studies.many import told

MAP = pd.DataFrame(
    {
        "role": ["own", "own", "own", "reference"],
        "sampling": "iid",
        "steps": [50, 50, 800, 50],
        "effect": [-4.0, -1.0, -9.0, -20.0],
        "low": [-6.0, -2.0, -30.0, -30.0],
        "high": [-2.0, 0.5, 12.0, -10.0],
        "at chance": [0, 0, 1, 0],
    }
)

SHARDS = pd.DataFrame(
    {
        "recipe": ["a", "b", "a", "a", "a"],
        "steps": [800, 800, 800, 800, 50],
        "shares": "107/21",
        "sampling": ["class", "class", "iid", "class", "class"],
        "beside": ["balanced", "balanced", "balanced", "random", "balanced"],
        "effect": [-3.0, 0.5, -1.0, -2.0, -50.0],
        "low": [-4.0, -1.0, -2.0, -3.0, -60.0],
        "high": [-2.0, 2.0, 0.0, -1.0, -40.0],
        "at chance": 0,
    }
)


def test_maps_are_told_by_length_without_cells_at_chance() -> None:
    (sentence,) = told.maps_sentences(MAP)
    assert sentence.startswith("**Map, i.i.d. draws.**")
    assert "after 50 steps -4.0 to -1.0 points, with the interval below 0 in 1 of 2" in sentence
    assert "800" not in sentence
    assert "20" not in sentence


def test_shards_are_told_beside_each_partner() -> None:
    balanced, random = told.lasting_sentences(SHARDS, 800, "107/21")
    assert "minus the balanced gradient" in balanced
    assert "class -3.0 to +0.5 points, with the interval below 0 on 1 of 2 data sets" in balanced
    assert "class -2.0 points, with the interval below 0 on 1 of 1" in random
    assert "50" not in balanced.replace("800", "")
    assert told.lasting_sentences(SHARDS, 25, "107/21") == []
