"""What the notebooks say about themselves in their first cell: title, claims, products."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lazy_loader as lazy

from hetlib_bundle.paths import NOTEBOOKS

nbformat: Any = lazy.load("nbformat")


# Claim: statement and quantity, the letter's abstract in our words; data/claims.yaml takes them
# apart.
STATEMENTS = {
    "C1": ("With equal shares the slowest replica sets the pace.", "step time, idle share"),
    "C2": (
        "Shares by measured speed remove the wait.",
        "speedup over equal shares, beside the ideal",
    ),
    "C3": (
        "With uneven shares, the plain mean of gradients harms training.",
        "effective batch; OA, AA, kappa",
    ),
    "C4": (
        "The balanced gradient trains as one process would, at the speed of C2.",
        "gradient and accuracy difference; step time",
    ),
    "C5": (
        "C1 to C4 hold across data sets, CNNs and platforms.",
        "the grid of the larger profiles",
    ),
}


class Head(NamedTuple):
    """A notebook's name, the text of its heading after the number and topic, and the claims it names."""

    name: str
    title: str
    claims: tuple[str, ...]


def read_heads(folder: Path = NOTEBOOKS) -> list[Head]:
    """Read the first cell of every notebook ``NN_topic.ipynb``, in order of name.

    Raises:
        ValueError: A first cell without a heading ``# NN Topic: what it is``, or without a line of
            ``**Claims:**``.
    """
    heads = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        text = nbformat.read(path, as_version=4).cells[0].source
        title, named = (
            re.match(rf"# {path.name[:2]} (.+)", text),
            re.search(r"\*\*Claims?:\*\*([^*]+)", text),
        )
        if title is None or named is None:
            wanted = f"# {path.name[:2]} Topic: what it is' and '**Claims:** C1, C2.' (or none)"
            raise ValueError(
                f"{path.name} begins with {text[:60]!r}; its first cell needs '{wanted}."
            )
        heads.append(Head(path.stem, title[1], _claims(named[1].split("\n\n")[0])))
    return heads


def _claims(text: str) -> tuple[str, ...]:
    """Return the claims in a text; "C1 to C5" names those between, too, and what begins with "none" names none."""
    if text.strip().startswith("none"):
        return ()
    for first, last in re.findall(r"C(\d) to C(\d)", text):
        text += "".join(f" C{number}" for number in range(int(first), int(last) + 1))
    return tuple(sorted(set(re.findall(r"C\d", text))))


def claims_table(heads: Sequence[Head]) -> str:
    """Return the map from claims to notebooks as a Markdown table; the index and the report are about all of them."""
    own = [head for head in heads if head.name[:2] not in ("00", "99")]
    rows = [
        "| claim | statement | quantity | notebooks | item in the letter |",
        "|---|---|---|---|---|",
    ]
    for claim, (statement, quantity) in STATEMENTS.items():
        links = ", ".join(
            f"[{head.name}]({head.name}.ipynb)" for head in own if claim in head.claims
        )
        rows.append(f"| {claim} | {statement} | {quantity} | {links} | |")
    return "\n".join(rows)


def notebooks_list(heads: Sequence[Head]) -> str:
    """Return the notebooks in the order of the work, as a Markdown list."""
    lines = [f"- [{h.name}.ipynb]({h.name}.ipynb): {h.title}{_of(h.claims)}" for h in heads]
    return "\n".join(lines)


def _of(claims: Sequence[str]) -> str:
    return f" ({', '.join(claims)})" if claims else ""
