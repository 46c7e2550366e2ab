"""What a notebook's first cell says about it."""

from pathlib import Path

import nbformat
import pytest

from hetlib_bundle.running import heads


def write_head(folder: Path, text: str, name: str = "03_models") -> None:
    cell = nbformat.v4.new_markdown_cell(text)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / f"{name}.ipynb")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("C1, C2.", ("C1", "C2")),
        ("an overview of C1 to C5.", ("C1", "C2", "C3", "C4", "C5")),
        ("C3. These runs are the pilot of Q2.", ("C3",)),
        ("C4 (gradient).\n\nC9 is another paragraph.", ("C4",)),
        ("none; the data behind C3 to C5.", ()),
    ],
)
def test_claims_of_a_head(text: str, named: tuple[str, ...], tmp_path: Path) -> None:
    write_head(tmp_path, f"# 03 Models: some\n\n**Products:** none. **Claims:** {text}")
    assert heads.read_heads(tmp_path) == [heads.Head("03_models", "Models: some", named)]


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("15_regime", ("P2", "P3", "P4", "C3")),
        ("19_fresh", ("Q2", "Q3", "C3")),
        ("99_report", ("Q2", "Q3", "P2", "P3", "P4", "C3")),
    ],
)
def test_a_claim_of_the_register_belongs_to_its_source(
    name: str, named: tuple[str, ...], tmp_path: Path
) -> None:
    text = "P2 to P4, and with them C3. They are the pilot of Q2 to Q3."
    write_head(tmp_path, f"# {name[:2]} Some: some\n\n**Claims:** {text}", name)
    assert heads.read_heads(tmp_path) == [heads.Head(name, "Some: some", named)]


def test_a_notebook_without_a_head_is_named(tmp_path: Path) -> None:
    write_head(tmp_path, "# 03 Models: some\n\nNo word on claims.")
    with pytest.raises(ValueError, match=r"03_models.ipynb begins with .* its first cell needs"):
        heads.read_heads(tmp_path)
