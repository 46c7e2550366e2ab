"""What the notebooks say about themselves in their first cell: title, claims, products."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import nbformat

from hetlib_bundle.claims import register
from hetlib_bundle.paths import NOTEBOOKS

# Numbers of the notebooks that are about all others: the index and the report.
ABOUT_ALL = ("00", "99")


class Statement(NamedTuple):
    """A claim in words, and what is measured for it."""

    statement: str
    quantity: str


# The letter's abstract, in our words; data/claims.yaml takes these apart.
ABSTRACT = {
    "C1": Statement(
        "With equal shares the slowest replica sets the pace.",
        "step time, idle share",
    ),
    "C2": Statement(
        "Shares by measured speed remove the wait.",
        "speedup over equal shares, beside the ideal",
    ),
    "C3": Statement(
        "With uneven shares, the plain mean of gradients harms training.",
        "effective batch; OA, AA, kappa",
    ),
    "C4": Statement(
        "The balanced gradient trains as one process would, at the speed of C2.",
        "gradient and accuracy difference; step time",
    ),
    "C5": Statement(
        "C1 to C4 hold across data sets, CNNs and platforms.",
        "the grid of the larger profiles",
    ),
}


def statements() -> dict[str, Statement]:
    """Return the primary claims of the register, and those of the letter's abstract, by name."""
    found = {}
    for claim in register.load().values():
        if claim.role == register.PRIMARY:
            found[claim.id] = Statement(claim.statement, claim.unit)
    return {**found, **ABSTRACT}


class Head(NamedTuple):
    """What a notebook says about itself."""

    # Of the file, without its ending.
    name: str

    # Text of its heading after the number: topic, and what it is.
    title: str

    # That it names.
    claims: tuple[str, ...]


def read_heads(folder: Path = NOTEBOOKS) -> list[Head]:
    """Read the first cell of every notebook ``NN_topic.ipynb``, in order of name.

    Args:
        folder: That they lie in.

    Raises:
        ValueError: A first cell without a heading ``# NN Topic: what it is``, or without a line of
            ``**Claims:**``.
    """
    return [_read_head(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def _read_head(path: Path) -> Head:
    number = path.name[:2]
    text = nbformat.read(path, as_version=4).cells[0].source
    title = re.match(rf"# {number} (.+)", text)
    named = re.search(r"\*\*Claims?:\*\*([^*]+)", text)
    if title is None or named is None:
        wanted = f"# {number} Topic: what it is' and '**Claims:** C1, C2.' (or none)"
        raise ValueError(f"{path.name} begins with {text[:60]!r}; its first cell needs '{wanted}.")
    paragraph = named[1].split("\n\n")[0]
    claims = _claims(paragraph)
    if number not in ABOUT_ALL:
        claims = tuple(claim for claim in claims if _made_here(claim, path.stem))
    return Head(path.stem, title[1], claims)


def _made_here(claim: str, notebook: str) -> bool:
    """Return whether a notebook is the source of a claim, as far as the register says one.

    A pilot's notebook may name the primary claims that came of it, and is no source of them.
    """
    known = register.load().get(claim)
    return known is None or known.source["notebook"] == notebook


def _claims(text: str) -> tuple[str, ...]:
    """Return the claims in a text.

    "C1 to C5" names those between, too; what begins with "none" names none. Primary ones and their
    pilots (Q, P) come first.
    """
    if text.strip().startswith("none"):
        return ()
    named = set(re.findall(r"\b[QPC]\d\b", text))
    for kind, first, last in re.findall(r"\b([QPC])(\d) to \1(\d)\b", text):
        between = range(int(first), int(last) + 1)
        named.update(f"{kind}{number}" for number in between)
    return tuple(sorted(named, key=_primary_first))


def _primary_first(claim: str) -> tuple[int, str]:
    """Return what claims are sorted by."""
    return "QPC".index(claim[0]), claim


def claims_table(heads: Sequence[Head]) -> str:
    """Return the map from claims to notebooks as a Markdown table.

    Primary claims come first. Index and report are left out: they are about all claims.

    Args:
        heads: From `read_heads`.
    """
    own = [head for head in heads if head.name[:2] not in ABOUT_ALL]
    rows = [
        "| claim | statement | quantity | notebooks | item in the letter |",
        "|---|---|---|---|---|",
    ]
    for claim, (statement, quantity) in statements().items():
        about = [head.name for head in own if claim in head.claims]
        links = ", ".join(f"[{name}]({name}.ipynb)" for name in about)
        rows.append(f"| {claim} | {statement} | {quantity} | {links} | |")
    return "\n".join(rows)


def notebooks_list(heads: Sequence[Head]) -> str:
    """Return the notebooks in the order of the work, as a Markdown list.

    Args:
        heads: From `read_heads`.
    """
    lines = []
    for head in heads:
        file = f"{head.name}.ipynb"
        about = f" ({', '.join(head.claims)})" if head.claims else ""
        lines.append(f"- [{file}]({file}): {head.title}{about}")
    return "\n".join(lines)
