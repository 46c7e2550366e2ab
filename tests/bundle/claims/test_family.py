"""Holm's correction, by hand."""

import pytest

from hetlib_bundle.claims.family import holm


def test_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}, 4)
    assert list(found) == ["a", "b", "c", "d"]
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})


def test_a_family_of_one_is_not_corrected_and_an_empty_one_is_empty() -> None:
    assert holm({"a": 0.02}, 1) == {"a": 0.02}
    assert holm({}, 0) == {}


def test_a_claim_that_cannot_be_judged_does_not_help_the_others() -> None:
    every = holm({"a": 0.01, "b": 0.02, "c": 1.0}, 3)
    judged = holm({"a": 0.01, "b": 0.02}, 3)
    assert judged == {name: every[name] for name in judged}


def test_never_above_one() -> None:
    assert holm({"a": 0.6, "b": 0.9}, 2) == {"a": 1.0, "b": 1.0}
