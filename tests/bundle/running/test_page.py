"""The page: what it shows beside the products."""

from pathlib import Path

from hetlib_bundle.paths import NOTEBOOKS
from hetlib_bundle.running import page
from tests.bundle.claims.made import TABLE

DATE = "2026-01-01T00:00:00"


def test_the_page_begins_with_the_verdicts_once_there_are_some(tmp_path: Path) -> None:
    entry = {
        "name": "09_time",
        "status": "succeeded",
        "seconds": 1.0,
        "peak_pss_mb": 1,
        "finished": DATE,
    }
    summary = {
        "profile": "quick",
        "date": DATE,
        "seconds": 1.0,
        "peak_pss_mb": 1,
        "cores": 2,
        "system": "Linux",
        "versions": {},
        "notebooks": [entry],
    }
    assert 'id="verdicts"' not in page.render(tmp_path, summary, NOTEBOOKS)

    (tmp_path / "tables").mkdir()
    TABLE.to_csv(tmp_path / "tables" / "99_report.csv", index=False)
    html = page.render(tmp_path, summary, NOTEBOOKS)
    assert html.index('id="verdicts"') < html.index('id="09_time"')
    assert '<td class="state not-supported">not supported</td>' in html
    assert "A &lt; B." in html
    assert '<a href="#05_balanced_gradient">' in html
