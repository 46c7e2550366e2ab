"""Files of text: what is read, and that each error names the file, and the line."""

import os

import pytest

from hetlib.reading import read_csv, read_json, read_text, read_yaml

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 30)
)
WRONG_YAML = {
    "open list": ("a: 1\nb: [", "line 2: no file of valid YAML"),
    "tab": ("a:\n\t- 1", "line 2"),
    "key twice": ("a: 1\nb: 2\na: 3", "line 3: .*'a' is there twice"),
    "key twice within": ("a:\n- {b: 1, b: 2}", "line 2: .*'b' is there twice"),
    "laughs": (LAUGHS, "more than 100,000 values"),
    "within itself": ("a: &a [*a]", "nested too deep, or within itself"),
    "deep": ("[" * 5000 + "]" * 5000, "nested too deep"),
    "two documents": ("a: 1\n---\nb: 2", "line 2: .*another document"),
    "python": ("a: !!python/object:os.system {}", "line 1: .*python"),
    "no such name": ("a: *b", "line 1: .*undefined alias"),
    "no date": ("a: 2024-13-45", "month must be in 1..12"),
    "list as key": ("? [a]\n: 1", "line 1: .*unhashable key"),
    "control": ("a: 1\nb: \x07", "line 2: .*characters are not allowed"),
    "long number": ("a: " + "9" * 5000, "digits"),
}


@pytest.mark.parametrize("case", WRONG_YAML)
def test_wrong_yaml_is_told_with_file_and_line(tmp_path, case):
    text, words = WRONG_YAML[case]
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"(?s)^platform file '{file}'.*{words}"):
        read_yaml(file, "platform file")


def test_yaml_as_it_is_meant(tmp_path):
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: &one {lr: 1e-3}\r\nb: {<<: *one, seed: 3}\r\nc: 1e\r\n")
    assert read_yaml(file) == {
        "a": {"lr": 0.001},
        "b": {"lr": 0.001, "seed": 3},
        "c": "1e",
    }
    file.write_text("")
    assert read_yaml(file) is None


@pytest.mark.parametrize("read", [read_yaml, read_json, read_text])
def test_what_is_no_file_of_text_is_told(tmp_path, read):
    file = tmp_path / "a"
    for path in (tmp_path, "/dev/zero", tmp_path / "none", tmp_path / "a" / "b"):
        with pytest.raises(ValueError, match=str(path)):
            read(path)
    os.mkfifo(file)
    with pytest.raises(ValueError, match="an ordinary file"):
        read(file)
    file.unlink()
    file.write_bytes(b"a\nb\xff\xfe")
    with pytest.raises(ValueError, match=f"'{file}', line 2: no text in UTF-8"):
        read(file)
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(ValueError, match="bytes; it may have"):
        read(file)
    for path in (None, 3, "", "a\0b"):
        with pytest.raises(ValueError, match="`file` is"):
            read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,\n"b": }', "line 2: no valid JSON"),
        ("", "line 1: no valid JSON"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "digits"),
    ],
)
def test_wrong_json_is_told_with_file_and_line(tmp_path, text, words):
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"record '{file}'.*{words}"):
        read_json(file, "record")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; it needs the columns"),
        ("file\na.png\n", r"line 1: no column \['split'\]"),
        ("file,split\na.png,train\nb.png\n", "line 3: 1 cells; the head has 2"),
        ('file,split\n"a.png,train\n', "line 2: no row of a table"),
        ("file,split,file\n", "a column twice"),
    ],
)
def test_wrong_tables_are_told_with_file_and_line(tmp_path, text, words):
    file = tmp_path / "splits.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"table '{file}'.*{words}"):
        list(read_csv(file, ["file", "split"]))


def test_a_table_is_read_by_its_head(tmp_path):
    file = tmp_path / "splits.csv"
    file.write_text('split,file\ntrain,"a,1.png"\n\ntest,b.png\n')
    assert list(read_csv(file, ["file", "split"])) == [
        (2, {"split": "train", "file": "a,1.png"}),
        (4, {"split": "test", "file": "b.png"}),
    ]
