"""The letter's values beside ours, once somebody has filled them in."""

from pathlib import Path

import pandas as pd
import pytest

from hetlib_bundle.claims.letter import beside, load_reported
from hetlib_bundle.claims.summary import COLUMNS
from hetlib_bundle.paths import DATA

HEADER = ",".join(COLUMNS)


def test_the_file_for_the_letters_values_is_there_and_empty() -> None:
    assert (DATA / "letter" / "reported.csv").read_text().splitlines() == [HEADER]
    assert len(beside(load_reported(), DATA)) == 0


def test_values_stand_beside_ours_where_they_are_about_the_same(tmp_path: Path) -> None:
    path = tmp_path / "reported.csv"
    rows = [
        # invented values: only the matching is tested
        "Table 9,wake,smallcnn,two nodes,balanced,OA,55.5,%,4",
        "Table 9,wake,smallcnn,two nodes,single,OA,55.5,%,4",  # not among ours
        "Fig. 9,wake,smallcnn,two nodes,balanced,step time,0.5,s,5",
        "Fig. 9,wake,smallcnn,two nodes,balanced,energy,3,J,5",  # nothing of ours
    ]
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    ours = {
        "dataset": ["brandenburg", "wake"],
        "model": "smallcnn",
        "strategy": "balanced",
        "oa": [0.4, 0.5],
    }
    times = {"model": "smallcnn", "strategy": ["equal", "balanced"], "step (ms)": [80.0, 30.0]}
    pd.DataFrame(ours).to_csv(tmp_path / "07_accuracy_table.csv", index=False)
    pd.DataFrame(times).to_csv(tmp_path / "09_time.csv", index=False)

    found = beside(load_reported(path), tmp_path)
    assert found.ours.fillna(-1).tolist() == pytest.approx([50.0, -1, 0.03, -1])
    assert found.value.tolist() == [55.5, 55.5, 0.5, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,value\n", "they must be"),
        (f"{HEADER}\na,b,c,d,e,OA,97 %,%,1\n", "97 %"),
    ],
)
def test_a_wrong_file_of_values_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reported.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_reported(path)
