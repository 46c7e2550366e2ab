"""Finished work is kept line by line, and is never done twice."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from hetlib_bundle import paths
from hetlib_bundle.studies.many import book
from hetlib_bundle.studies.many.book import Book

WORK = {"what": "cell", "steps": 3, "shares": [3, 1]}


def never() -> dict:
    pytest.fail("computed")


def open_one(path: Path, computing: bool = True) -> Book:
    return Book(path, computing=computing, profile="quick")


def test_what_is_kept_is_read_and_not_computed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = open_one(path)
    had = first.get(WORK, lambda: {"oa": np.array([1 / 3, 1.0]), "rate": 0.1, "edge": False})
    result = {"oa": [0.33333, 1.0], "rate": 0.1, "edge": False}
    assert had == {"key": book.key_of(WORK), **WORK, **result}
    assert first.get(WORK, never) == had
    second = open_one(path, computing=False)
    assert second.get(dict(reversed(WORK.items())), never) == had  # the order says nothing
    assert second.get({**WORK, "steps": 4}, never) is None
    assert len(second) == 1
    assert second.head["profile"] == "quick"
    assert "torch" in second.head["environment"]


@pytest.mark.parametrize("left", ['{"key":"ab', '{"key":"ab"}', "{"])
def test_a_line_that_was_not_finished_is_dropped(tmp_path: Path, left: str) -> None:
    path = tmp_path / "a.jsonl"
    open_one(path).get(WORK, lambda: {"oa": 1})
    with path.open("a") as file:
        file.write(left)
    again = open_one(path)
    assert len(again) == 1
    again.get({**WORK, "steps": 4}, lambda: {"oa": 2})
    lines = path.read_text().splitlines()
    assert [json.loads(line).get("oa") for line in lines[1:]] == [1, 2]
    assert len(open_one(path)) == 2


def test_work_that_fails_is_not_kept(tmp_path: Path) -> None:
    one = open_one(tmp_path / "a.jsonl")
    with pytest.raises(ZeroDivisionError):
        one.get(WORK, lambda: {"oa": 1 / 0})
    assert one.find(WORK) is None
    assert len(open_one(one.path)) == 0


def test_numbers_keep_their_digits() -> None:
    value = {"a": [math.pi, 1e-7 / 3, (2, np.float32(0.1))], "b": "x", "c": None, "d": True}
    short = {"a": [3.1416, 3.3333e-08, [2, 0.1]], "b": "x", "c": None, "d": True}
    assert book.shortened(value) == short


def test_where_books_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(paths, "RECORDED", tmp_path / "recorded")
    made = book.open_book("a", "quick", "computed")
    assert made.path == tmp_path / "results/quick/many/a.jsonl"
    assert made.computing
    read = book.open_book("a", source="recorded")
    assert read.path == tmp_path / "recorded/standard/many/a.jsonl"
    assert not read.computing
    assert not read.path.exists()  # reading makes nothing
    record = book.open_record("a", "standard")
    assert record.path == read.path
    assert record.computing
