"""Arguments of data sets: what does not fit is named, before a file is opened."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetlib.datasets import LandCoverScene

from .scenes import Open, Options

# Arguments of both kinds, and values that none of them takes.
OF_BOTH = {
    "split": ("val", 3, ["train"]),
    "fractions": (0.6, "abc", (1, 0), (0.5, float("nan"), 0.5), (True, 0, 0), None),
    "valid_range": (5, (1,), (3, 1), ("a", "b"), (float("nan"), 1), "ab"),
    "seed": (-1, 1.5, "0", None, True),
    "bands": (5, "red", (), [["red"]], {"red"}),
    "transforms": (3, "flip"),
    "cache": (None, 3, "", "a\0b"),
}
OF_FOLDERS = {
    "root": (None, 3, ""),
    "size": (0, -4, 2.5, "64", True),
    "classes": (5, "abc", (), ("a", "a", "b"), (1, 2)),
    "band_names": (5, "rgb", ("a", "a", "b")),
    "groups": (5, ""),
}
OF_SCENES = {
    "image": (None, 3, ""),
    "labels": (None, 3, b"labels.tif"),
    "window": (0, -1, 2.5, "16", None, True),
    "per_class": (0, "all", None),
    "stride": (0, 1.5, "2"),
    "classes": (5, "water", (), {}, {"1": "water"}, {1: 2}, {1.5: "water"}),
    "split_by": (None, 3, ["columns"], "rows"),
}


def pairs(*tables: dict[str, tuple[Any, ...]]) -> list[tuple[str, Any]]:
    found = []
    for table in tables:
        for name, values in table.items():
            found += [(name, value) for value in values]
    return found


@pytest.mark.parametrize(("name", "value"), pairs(OF_BOTH, OF_FOLDERS))
def test_odd_arguments_of_folders(open_tree: Open, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        open_tree(**{name: value})


@pytest.mark.parametrize(("name", "value"), pairs(OF_BOTH, OF_SCENES))
def test_odd_arguments_of_scenes(scene: Options, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        LandCoverScene(**scene | {name: value})


def test_numbers_of_numpy_are_the_same_entry(scene: Options) -> None:
    plain = LandCoverScene(**scene, seed=3, stride=2, valid_range=(0, 9000))
    given = {
        "window": np.int64(6),
        "per_class": np.int32(50),
        "stride": np.uint8(2),
        "seed": np.int64(3),
        "valid_range": np.array([0, 9000]),
    }
    assert LandCoverScene(**scene | given)._entry.folder == plain._entry.folder


def test_a_range_without_an_end(scene: Options) -> None:
    above = LandCoverScene(**scene, valid_range=(1000, float("inf")))
    assert above.mean.min() > 1000


BAD_TABLES = {
    "no table": b"",
    "no group": b"file,other\na/0.png,1\n",
    "cut": b"file,group\na/0.png\n",
    "no text": b"file,group\n\xff\xfe,1\n",
}


@pytest.mark.parametrize("content", BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_that_are_none(open_tree: Open, tmp_path: Path, content: bytes) -> None:
    table = tmp_path / "groups.csv"
    with pytest.raises(ValueError, match=r"groups\.csv"):
        open_tree(groups=table)
    table.write_bytes(content)
    with pytest.raises(ValueError, match=r"groups\.csv"):
        open_tree(groups=table)
