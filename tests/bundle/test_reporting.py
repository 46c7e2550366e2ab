"""The report's rows as text, on the page too, and the letter's values beside ours."""

from pathlib import Path

import pandas as pd
import pytest

from hetlib_bundle.claims import summary as reporting
from hetlib_bundle.paths import DATA, NOTEBOOKS
from hetlib_bundle.running import page

TABLE = pd.DataFrame(
    [
        {
            "claim": "C1.1",
            "effect": 0.71234,
            "low": 0.69,
            "high": 0.73,
            "is": "above",
            "margin": 0.25,
            "n": 5.0,
        },
        {
            "claim": "C4.1",
            "effect": 1.3e-15,
            "low": 1.2e-15,
            "high": 1.4e-15,
            "is": "below",
            "margin": 1e-12,
            "n": 5.0,
        },
        {
            "claim": "C4.2",
            "effect": None,
            "low": None,
            "high": None,
            "is": "within",
            "margin": 1.0,
            "n": None,
        },
    ]
).assign(
    statement="A < B.",
    unit="points",
    verdict=["supported", "not supported", "not run"],
    note=["", "", "no table 07_verdicts: hetlib reproduce --profile quick --only 07"],
    notebook=["09_time", "05_balanced_gradient", "07_accuracy"],
)


def test_numbers_have_three_digits_whatever_their_size() -> None:
    assert [row["effect"] for row in reporting.rows(TABLE)] == [
        "0.712 (0.69 to 0.73)",
        "1.3e-15 (1.2e-15 to 1.4e-15)",
        "",
    ]
    assert [row["test"] for row in reporting.rows(TABLE)] == [
        "above 0.25",
        "below 1e-12",
        "within ±1",
    ]


def test_the_table_links_notebooks_and_says_what_is_missing() -> None:
    last = reporting.markdown(TABLE).splitlines()[-1]
    assert "[07_accuracy](07_accuracy.ipynb)" in last
    assert "**not run** (no table 07_verdicts: hetlib reproduce --profile quick --only 07)" in last
    assert reporting.summary(TABLE) == "Of 3 statements, 1 supported, 1 not supported, 1 not run."


def test_the_page_begins_with_the_verdicts_once_there_are_some(tmp_path: Path) -> None:
    entry = {"name": "09_time", "status": "succeeded", "seconds": 1.0, "peak_pss_mb": 1}
    entry["finished"] = "2026-01-01T00:00:00"
    about = {
        "profile": "quick",
        "date": "2026-01-01T00:00:00",
        "seconds": 1.0,
        "peak_pss_mb": 1,
        "cores": 2,
    }
    about |= {"system": "Linux", "versions": {}, "notebooks": [entry]}
    assert 'id="verdicts"' not in page.render(tmp_path, about, NOTEBOOKS)
    (tmp_path / "tables").mkdir()
    TABLE.to_csv(tmp_path / "tables" / "99_report.csv", index=False)
    html = page.render(tmp_path, about, NOTEBOOKS)
    assert html.index('id="verdicts"') < html.index('id="09_time"')
    assert '<td class="state not-supported">not supported</td>' in html
    assert "A &lt; B." in html
    assert '<a href="#05_balanced_gradient">' in html


def test_the_file_for_the_letters_values_is_there_and_empty() -> None:
    assert (DATA / "letter" / "reported.csv").read_text().splitlines() == [
        ",".join(reporting.COLUMNS)
    ]
    assert len(reporting.beside(reporting.load_reported(), DATA)) == 0


def test_values_stand_beside_ours_where_they_are_about_the_same(tmp_path: Path) -> None:
    path = tmp_path / "reported.csv"
    rows = [
        # invented values: only the matching is tested
        "Table 9,wake,smallcnn,two nodes,balanced,OA,55.5,%,4",
        "Table 9,wake,smallcnn,two nodes,single,OA,55.5,%,4",  # not among ours
        "Fig. 9,wake,smallcnn,two nodes,balanced,step time,0.5,s,5",
        "Fig. 9,wake,smallcnn,two nodes,balanced,energy,3,J,5",  # nothing of ours
    ]
    path.write_text("\n".join([",".join(reporting.COLUMNS), *rows]) + "\n")
    ours = {
        "dataset": ["brandenburg", "wake"],
        "model": "smallcnn",
        "strategy": "balanced",
        "oa": [0.4, 0.5],
    }
    pd.DataFrame(ours).to_csv(tmp_path / "07_accuracy_table.csv", index=False)
    times = {"model": "smallcnn", "strategy": ["equal", "balanced"], "step (ms)": [80.0, 30.0]}
    pd.DataFrame(times).to_csv(tmp_path / "09_time.csv", index=False)
    found = reporting.beside(reporting.load_reported(path), tmp_path)
    assert found.ours.fillna(-1).tolist() == pytest.approx([50.0, -1, 0.03, -1])
    assert found.value.tolist() == [55.5, 55.5, 0.5, 3.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,value\n", "they must be"),
        (f"{','.join(reporting.COLUMNS)}\na,b,c,d,e,OA,97 %,%,1\n", "97 %"),
    ],
)
def test_a_wrong_file_of_values_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reported.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        reporting.load_reported(path)


def test_other_load_is_read_where_it_is_known(tmp_path: Path) -> None:
    assert reporting.other_load(tmp_path) is None
    pd.DataFrame({"claim": ["C1.1"]}).to_csv(tmp_path / "09_verdicts.csv")
    assert reporting.other_load(tmp_path) is None
    pd.DataFrame({"other load (%)": [12, 12]}).to_csv(tmp_path / "09_verdicts.csv")
    assert reporting.other_load(tmp_path) == 12


def test_verdicts_of_other_notebooks_are_listed(tmp_path: Path) -> None:
    assert len(reporting.others(tmp_path)) == 0
    row = {
        "claim": "modelled",
        "margin": 0.8,
        "word": "supported",
        "effect": 0.9,
        "low": 0.85,
        "high": 0.95,
    }
    pd.DataFrame([row]).to_csv(tmp_path / "10_verdict.csv", index=False)
    found = reporting.others(tmp_path)
    assert found.loc[0, ["notebook", "claim", "verdict"]].tolist() == [
        "10",
        "modelled",
        "supported",
    ]
