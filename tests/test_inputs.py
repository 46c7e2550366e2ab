"""The checks of arguments: what is taken, as what, and the words for what is not."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hetlib.errors import from_file, shown
from hetlib.inputs import flag, number, one_of, optional, path, text, whole

WHOLE = [31, np.int64(31), np.uint8(31), np.array(31), torch.tensor(31)]
NO_WHOLE = [
    True,
    np.bool_(True),
    torch.tensor(True),
    "31",
    b"31",
    2.9,
    31.0,
    np.float64(31),
    torch.tensor(31.0),
    np.array([31]),
    torch.tensor([31]),
    [31],
    {31},
    {},
    None,
    math.nan,
    31j,
    object(),
    int,
]
NO_NUMBER = [
    True,
    "1",
    None,
    math.nan,
    -math.inf,
    np.float32("nan"),
    torch.tensor(math.inf),
    torch.ones(1),
    torch.empty((), device="meta"),
    1j,
    [1.0],
    {},
    10**400,
]


@pytest.mark.parametrize("value", WHOLE, ids=repr)
def test_whole_numbers_of_every_kind_become_python_s(value):
    taken = whole("threads", value)
    assert taken == 31
    assert type(taken) is int


@pytest.mark.parametrize("value", NO_WHOLE, ids=lambda value: type(value).__name__)
def test_no_whole_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"`threads` is .*; it must be a whole number\.$"):
        whole("threads", value)


def test_bounds_are_told():
    assert whole("count", 4, low=1, high=4) == 4
    with pytest.raises(ValueError, match=r"`count` is 0; it must be a whole number >= 1 and <= 4"):
        whole("count", 0, low=1, high=4)
    with pytest.raises(ValueError, match="<= 4"):
        whole("count", 10**9, low=1, high=4)
    with pytest.raises(ValueError, match="a whole number of 16610 bits"):
        whole("count", 10**5000, high=4)
    with pytest.raises(ValueError, match="a finite number > 0 and < 1"):
        number("part", 1, above=0, below=1)
    with pytest.raises(ValueError, match="a finite number >= 1 and <= 9"):
        number("slowdown", 0.5, low=1, high=9)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, int),
        (np.int32(1), int),
        (1.0, float),
        (np.float32(1), float),
        (Fraction(1), float),
    ],
)
def test_a_number_stays_whole_or_not(value, kind):
    taken = number("lr", value)
    assert taken == 1
    assert type(taken) is kind
    assert type(number("lr", torch.tensor(1.5))) is float


@pytest.mark.parametrize("value", NO_NUMBER, ids=lambda value: type(value).__name__)
def test_no_finite_number_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"`lr` is .*; it must be a finite number > 0\.$"):
        number("lr", value, above=0)


def test_flags_are_true_or_false_alone():
    assert flag("shuffle", np.bool_(True)) is True
    for value in (0, 1, "no", "True", None, [], np.array([True])):
        with pytest.raises(ValueError, match=r"`shuffle` is .*True or False"):
            flag("shuffle", value)


def test_text_is_not_empty_and_no_bytes():
    assert type(text("model", np.str_("smallcnn"))) is str
    for value in ("", b"smallcnn", 3, None, ["smallcnn"]):
        with pytest.raises(ValueError, match="`model` is"):
            text("model", value)


@pytest.mark.parametrize("value", ["c", ["a"], {"a"}, {}, 1, None, np.array(["a", "b"])])
def test_only_what_is_allowed_is_taken(value):
    assert one_of("kind", np.str_("a"), {"a": 1, "b": 2}) == "a"
    with pytest.raises(ValueError, match=r"`kind` is .*; allowed are \['a', 'b'\]"):
        one_of("kind", value, ("a", "b"))


def test_true_is_not_one():
    with pytest.raises(ValueError, match="`bits` is True"):
        one_of("bits", True, (1, 2))


def test_nothing_is_an_option_where_it_is_named():
    assert optional(whole, "max_steps", None, low=1) is None
    assert optional(whole, "max_steps", np.int64(3), low=1) == 3
    with pytest.raises(ValueError, match="it must be None or a whole number >= 1"):
        optional(whole, "max_steps", 0, low=1)


def test_paths_are_text_or_paths():
    assert path("root", "a/b") == Path("a/b")
    assert path("root", Path("a")) == Path("a")
    for value in ("", 3, None, b"a", "a\0b", ["a"]):
        with pytest.raises(ValueError, match="`root` is"):
            path("root", value)


def test_errors_of_files_name_place_and_line(tmp_path):
    error = from_file(tmp_path / "a.yaml", "it is empty.", line=3, what="platform file")
    assert str(error) == f"platform file '{tmp_path}/a.yaml', line 3: it is empty."


def test_long_values_are_shortened_and_never_fail():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert len(shown("x" * 10**6)) < 400
    assert len(shown(list(range(10**6)))) < 400
    assert "\n" not in shown(np.ones((50, 50)))
    assert "Broken" in shown([Broken()])
