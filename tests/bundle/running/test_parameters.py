"""Parameters that papermill gives as text have the type of the notebook's first cell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetlib_bundle.profiles import options_given
from hetlib_bundle.running.parameters import read_parameters, typed


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (list[int], "[90, 38]", [90, 38]),
        (list[int], "(64,64)", [64, 64]),
        (list[int], "100 28", [100, 28]),
        (list[int], 128, [128]),
        (list[int], "128", [128]),
        (list[int], "[]", []),
        (list[int], "[90 38]", [90, 38]),
        (list[int], "- 90\n- 38", [90, 38]),
        (list[float], "[3, 1.5]", [3, 1.5]),
        (list[float], "1e-2, 2e-2", [0.01, 0.02]),
        (list[str], "brandenburg,wake", ["brandenburg", "wake"]),
        (list[str], "['smallcnn', 'resnet18']", ["smallcnn", "resnet18"]),
        (list[str], '["a"]', ["a"]),
        (list[str], "None", []),
        (list[str], "[smallcnn, resnet18]", ["smallcnn", "resnet18"]),
        (list[str], "[a]", ["a"]),
        (list[str], "- a\n- b", ["a", "b"]),
        (list[list[int]], "[[1, 2], [3]]", [[1, 2], [3]]),
        (int, "8", 8),
        (int, 8.0, 8),
        (float, "1e-3", 0.001),
        (float, 2, 2),
        (bool, "true", True),
        (bool, "No", False),
        (bool, False, False),
        (bool, "off", False),
        (str, "quick", "quick"),
        (str, 2024, "2024"),
        (dict[str, Any], '{"a": 1}', {"a": 1}),
        (dict, "{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        (dict, "{'b': [1, None]}", {"b": [1, None]}),
        (dict, '{"c": true, "d": null}', {"c": True, "d": None}),
        (int | None, "None", None),
        (int | None, "7", 7),
        (list[int] | None, "", None),
    ],
)
def test_text_becomes_what_it_spells(kind: Any, given: Any, value: Any) -> None:
    assert typed("x", given, kind) == value
    assert type(typed("x", given, kind)) is type(value)
    assert typed("x", value, kind) == value


def test_values_of_other_types_than_the_first_cell_tells() -> None:
    assert typed("x", np.array([90, 38]), list[int]) == [90, 38]
    assert typed("x", range(1, 4), list[int]) == [1, 2, 3]
    assert typed("x", Path("mine"), str) == "mine"
    assert options_given(typed("x", {"root": "mine"}, str)) == {"root": "mine"}


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (list[int], "[90, 38", "a list of whole numbers, such as"),
        (list[int], "[2.9, 1]", "a list of whole numbers"),
        (list[int], "many", "a list of whole numbers"),
        (list[float], "[True]", "a list of numbers"),
        (list[float], "__import__('os')", "a list of numbers"),
        (int, "2.5", "a whole number"),
        (int, "", "a whole number"),
        (int, "inf", "a whole number"),
        (list[int], "[1, " + "9" * 400 + "]x", "a list of whole numbers"),
        (list[int], "9" * 400, "a list of whole numbers"),
        (int, True, "a whole number"),
        (float, "fast", "a number"),
        (bool, "perhaps", "True or False"),
        (dict, "[1]", "a mapping"),
        (dict, "{", "a mapping"),
        (str, ["a"], "text"),
        (int | None, "x", "a whole number or None"),
    ],
)
def test_text_that_spells_something_else_is_named_with_what_it_must_be(
    kind: Any, given: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=rf"^`x` is .*{words}"):
        typed("x", given, kind)


def test_only_what_the_first_cell_tells_is_read() -> None:
    namespace = {"__annotations__": {"shares": list[int], "gone": int}, "shares": "1,2", "y": "3"}
    read_parameters(namespace)
    assert namespace["shares"] == [1, 2]
    assert namespace["y"] == "3"
    read_parameters({})
