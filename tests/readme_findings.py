"""The README's findings and checks, made from the tables and records in the clone."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hetlib_bundle.claims import register, summary
from hetlib_bundle.claims.judge import HOLDS
from hetlib_bundle.claims.register import CHECK, DESCRIPTIVE, PILOT, PRIMARY
from hetlib_bundle.claims.report import COLUMNS
from hetlib_bundle.claims.verdict import NOT_SUPPORTED, SUPPORTED
from hetlib_bundle.studies import headline
from tests.readme_cnns import cnns_text
from tests.readme_studies import studies_text, surest_cell
from tests.readme_tables import frame, table
from tests.readme_time import time_text


def _role(profile: str, role: str) -> pd.DataFrame:
    """Return the rows of a report whose claims have a role in the register of now."""
    report = frame(profile, "99_report")
    roles = {name: claim.role for name, claim in register.load().items()}
    found = report[report.claim.map(roles) == role]
    return found.assign(role=role).reindex(columns=[*COLUMNS])


def counted(profile: str, role: str, known: Sequence[str]) -> str:
    """Count the words of a part of the report: "2 are supported, 1 is not run"."""
    report = _role(profile, role)
    told = []
    for word in known:
        found = int((report.verdict == word).sum())
        if found == len(report):
            return f"all {found} {_verb(word, found)}"
        if found:
            told.append(f"{found} {_verb(word, found)}")
    return ", ".join(told)


def _verb(word: str, found: int) -> str:
    """Return a verdict's word after a number of claims."""
    if word == HOLDS:
        return "holds" if found == 1 else "hold"
    return f"is {word}" if found == 1 else f"are {word}"


def findings_text() -> list[str]:
    """Return the primary claims with their numbers, and what the map of regimes shows."""
    rows = [_primary_row(row) for row in summary.rows(_role("standard", PRIMARY))]
    head = ["claim", "statement", "effect (95 % interval)", "has to be", "n", "p", "verdict"]
    known = headline.recorded()
    seen = "\n".join(f"- {sentence}" for sentence in headline.sentences(known))
    recipe = known.recipe if known is not None else "none"
    return [
        "### Findings",
        "Six claims were written down before the runs that judge them (`data/claims.yaml`), and "
        "are judged together: p is corrected for their number (Holm). A claim about every cell "
        "(data set, CNN, setting) has the p of its weakest cell; P6, about any cell, has the "
        "smallest one times the number of cells (Bonferroni). The effect is that of the cell "
        "nearest to failing; of P6 that of the surest cell "
        f"({surest_cell(_role('standard', PRIMARY))}). n counts seeds, of P6 sittings. Q1 to Q5 "
        "are judged on fresh seeds (`17_processes`, `19_fresh`). A pilot, P1 to P5, asked nearly "
        f"the same with {_pilot_seeds()}: {counted('standard', PILOT, summary.WORDS)}.",
        table(head, rows),
        "![Test OA of the plain mean minus that of one process, by steps and effective batch]"
        "(data/recorded/standard/00_regime.png)",
        f"*The map of regimes on {recipe}: OA of the plain mean minus that of one process, in "
        "points, above each at its own searched learning rate, below at one process's. Numbers "
        "where the 95 % interval over seeds does not hold 0 (not corrected for the number of "
        "cells); grey with †: a run is at chance. Hatched: "
        f"{headline.HATCHED}. Below the lines one "
        "process with a batch of n_eff loses more than 1 (dotted) and 3 points. Drawn by "
        "`00_index` from records; `15_regime` has the maps of all recipes.*",
        f"{seen}\n{studies_text()}",
        *time_text(),
        *cnns_text(),
    ]


def _primary_row(row: dict[str, Any]) -> list[str]:
    verdict = row["verdict"]
    if verdict == "not run":
        verdict = f"not run yet (`{row['notebook']}`)"
    elif row["note"]:
        verdict += f" ({row['note']})"
    effect = f"{row['effect']} {row['unit']}" if row["effect"] else ""
    return [row["claim"], row["statement"], effect, row["test"], row["n"], row["p"], verdict]


def _pilot_seeds() -> str:
    """Return how many seeds the pilot had, and which claims had others."""
    seeds = _role("standard", PILOT).set_index("claim").n
    usual = seeds.mode()[0]
    others = [f"{name}: {count:.0f}" for name, count in seeds[seeds != usual].items()]
    told = f"{usual:.0f} seeds"
    if others:
        told += f" ({', '.join(others)})"
    return told


def descriptive_text() -> str:
    """Count the descriptive statements, and quote those that came out one way or the other."""
    report = _role("standard", DESCRIPTIVE)
    told = [
        f"Descriptive statements, each judged by itself: of {len(report)}, "
        f"{counted('standard', DESCRIPTIVE, summary.WORDS)} (at the quick profile: "
        f"{counted('quick', DESCRIPTIVE, summary.WORDS)}). Of a best rate at the edge and of runs "
        "at chance these verdicts know nothing. `99_report` has all; decided are (*it* is the OA "
        "of one process, and C4.3 is about the balanced gradient):\n"
    ]
    for word in (SUPPORTED, NOT_SUPPORTED):
        for row in report[report.verdict == word].itertuples():
            told.append(f"- {row.claim}, *{word}*: {row.statement}")
    return "\n".join(told)


def checks_text() -> list[str]:
    """Return how the checks came out."""
    report = _role("standard", CHECK)
    measured = report[report.unit.str.contains("(measured)", regex=False)]
    computed = report[~report.claim.isin(measured.claim)]
    text = (
        f"What the arithmetic makes so ({', '.join(computed.claim)}), or the emulated platform was "
        f"built to show ({', '.join(measured.claim)}; measured), is a check: *identical* where no "
        "bit of any compared value differs (of the scores the OA of each run), else *holds* or "
        f"*broken*. A check that holds is no finding. Of {len(report)} checks, "
        f"{counted('standard', CHECK, summary.CHECKED)}."
    )
    return ["### Checks", text + _emulation_text()]


def _emulation_text() -> str:
    """Say what a broken check of the emulation means for what was measured."""
    row = _role("standard", CHECK).set_index("claim").loc["E1"]
    if row.verdict != "broken":
        return ""
    return (
        f" The broken one is E1: emulated slow replicas took {100 * row.low:.0f} to "
        f"{100 * row.high:.0f} % longer than they were asked to, most with few samples "
        "(`01_platform`). A platform that is called 1:4 is more uneven than that, and a second "
        "device is worth less on it. Ideals and plans go by measured speeds."
    )
