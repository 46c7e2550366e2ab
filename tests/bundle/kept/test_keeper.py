"""Values are computed and kept, or read; captions say which."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from hetlib.training.records import RunRecord
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.kept.source import resolve
from tests.bundle.kept.made import publish_all


def computed() -> None:
    pytest.fail("computed")


def test_what_is_read_is_what_the_computing_notebook_had(folders: Path, virtual: RunRecord) -> None:
    noisy = dataclasses.replace(virtual, steps={"compute": [[1 / 3]]}, times="measured")
    first = keeper("07", "quick", "computed", lrs=[0.1])
    had = first("runs", lambda: {"runs": [virtual, noisy], "third": 1 / 3})
    kept = folders / "results" / "quick" / "kept" / "07_runs.jsonl"
    records = [json.loads(line) for line in kept.read_text().splitlines()[2:]]
    assert [record["fingerprint"] for record in records] == [virtual.fingerprint] * 2
    assert records[0] == json.loads(json.dumps(virtual.to_dict()))

    publish_all(folders)
    second = keeper("07", "quick", "recorded", lrs=[0.1])
    assert second("runs", computed) == had
    assert had["runs"][1].steps == {"compute": [[0.3333333]]}  # as `RunRecord.save` rounds
    saved = folders / "results" / "quick-recorded" / "runs" / f"{virtual.fingerprint}.json"
    assert saved.exists()

    other = keeper("07", "quick", "recorded", lrs=[0.2])
    message = r"`lrs` is \[0.2\], and 07_runs.jsonl was recorded with \[0.1\]; .*computed"
    with pytest.raises(ValueError, match=message):
        other("runs", list)
    message = r'no record .*07_trials.jsonl; .*source="computed"'
    with pytest.raises(FileNotFoundError, match=message):
        second("trials", computed)


def test_captions_and_the_environment_say_what_is_recorded(folders: Path) -> None:
    made = keeper("03", "quick", "computed")
    made("table", lambda: 1)
    kept = folders / "results" / "quick" / "kept" / "03_table.jsonl"
    head = json.loads(kept.read_text().splitlines()[0])
    publish_all(folders)
    drawn = keeper("03", "quick", "recorded")

    machine = head["environment"]
    note = f"Recorded {head['date'][:10]}, {machine['processor']}, torch {machine['torch']}."
    for keep, caption in ((made, "Some."), (drawn, f"Some. {note}")):
        products.save_table(pd.DataFrame({"a": [1]}), "03_some", caption="Some.", keep=keep)
        told = folders / "results" / keep.folder / "tables" / "03_some.json"
        assert json.loads(told.read_text())["caption"] == caption
    assert made.folder == "quick"
    assert drawn.folder == "quick-recorded"

    assert list(made.environment()) == ["what", "found"]
    beside = drawn.environment()[["what", "recorded"]]
    assert dict(beside.to_numpy()) == machine
    assert keeper("*", "quick", "recorded").note == f" {note}"
    assert keeper("02", "quick", "recorded").note == ""


def test_source_and_profile_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HETLIB_SOURCE", raising=False)
    assert resolve("", "") == ("quick", "computed")
    assert resolve("full", "recorded") == ("full", "recorded")
    monkeypatch.setenv("HETLIB_SOURCE", "recorded")
    assert resolve("", "") == ("standard", "recorded")
    assert resolve("", "computed") == ("quick", "computed")

    message = r"`source` \(or HETLIB_SOURCE\) is 'both'; allowed are \['computed', 'recorded'"
    with pytest.raises(ValueError, match=message):
        keeper("07", "quick", "both")
    with pytest.raises(ValueError, match="`profile` is 'tiny'; allowed are"):
        keeper("07", "tiny")


def test_a_table_of_sittings_grows_by_each_computing_and_goes_on_from_the_records(
    folders: Path,
) -> None:
    def sitting(name: str) -> pd.DataFrame:
        return pd.DataFrame({"sitting": [name], "step": [0.5]})

    first = keeper("16", "quick", "computed", models=["a"])
    assert len(first.more("sittings", lambda: sitting("one"))) == 1
    grown = first.more("sittings", lambda: sitting("two"))
    assert grown.sitting.tolist() == ["one", "two"]

    publish_all(folders)
    drawn = keeper("16", "quick", "recorded", models=["a"])
    assert drawn.more("sittings", computed).equals(grown)  # type: ignore[arg-type]
    assert len(first.more("sittings", lambda: sitting("three"))) == 3
    other = keeper("16", "quick", "computed", models=["b"])
    with pytest.raises(ValueError, match="`models` is"):
        other.more("sittings", lambda: sitting("four"))


@pytest.mark.parametrize(
    ("line", "damage"),
    [
        (1, b"\xff\xfe"),
        (1, b"{}"),
        (1, b"[1]"),
        (2, b'{"kind": "nonsense", "value": 1}'),
        (2, b'{"kind": "run", "value": 9}'),
        (2, b'{"runs": '),
        (3, b'{"fingerprint": "../../../evil"}'),
        (3, b"3"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(
    folders: Path, virtual: RunRecord, line: int, damage: bytes
) -> None:
    made = keeper("07", "quick", "computed")
    made("runs", lambda: [virtual])
    publish_all(folders)
    path = folders / "recorded" / "quick" / "07_runs.jsonl"
    held = path.read_bytes().splitlines()
    held[line - 1] = damage
    path.write_bytes(b"\n".join(held) + b"\n")
    with pytest.raises(ValueError, match=rf"07_runs.jsonl, line {line}: .*computed"):
        keeper("07", "quick", "recorded")("runs", computed)
    assert not (folders.parent / "evil.json").exists()


def test_a_file_that_was_cut_is_named(folders: Path) -> None:
    keeper("07", "quick", "computed")("runs", lambda: 1)
    publish_all(folders)
    path = folders / "recorded" / "quick" / "07_runs.jsonl"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"07_runs.jsonl, line 2: .*ends before"):
        keeper("07", "quick", "recorded")("runs", computed)
