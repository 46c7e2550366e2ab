"""The README's findings and checks, made from the tables and records in the clone."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hetlib_bundle.claims import register, summary
from hetlib_bundle.claims.register import CHECK, PILOT, PRIMARY
from hetlib_bundle.claims.report import COLUMNS
from hetlib_bundle.studies import headline
from tests.readme_cnns import cnns_text
from tests.readme_tables import frame, table


def _role(profile: str, role: str) -> pd.DataFrame:
    """Return the rows of a report whose claims have a role in the register of now."""
    report = frame(profile, "99_report")
    roles = {name: claim.role for name, claim in register.load().items()}
    found = report[report.claim.map(roles) == role]
    return found.assign(role=role).reindex(columns=[*COLUMNS])


def words(profile: str, role: str, known: Sequence[str]) -> str:
    """Count the words of a part of the report and name the claims."""
    report = _role(profile, role)
    told = []
    for word in known:
        rows = report[report.verdict == word]
        if len(rows):
            told.append(f"{len(rows)} {word} ({', '.join(rows.claim)})")
    return f"of {len(report)}, {'; '.join(told)}"


def findings_text() -> list[str]:
    """Return the primary claims with their numbers, and what the map of regimes shows."""
    rows = [_primary_row(row) for row in summary.rows(_role("standard", PRIMARY))]
    head = ["claim", "statement", "effect (95 % interval)", "is", "n", "p", "verdict"]
    known = headline.recorded()
    seen = "\n".join(f"- {sentence}" for sentence in headline.sentences(known))
    recipe = known.recipe if known is not None else "none"
    return [
        "### Findings",
        "Six claims were written down before the runs that judge them (`data/claims.yaml`), and "
        "are judged together: p is corrected by Holm over all six, and by "
        "Bonferroni over cells where one of several is enough to be wrong, or right. The effect is "
        "that of the cell nearest to failing (P6: of the best cell); n counts seeds, of P6 "
        "sittings. Q1 to Q5 are judged on fresh seeds (`17_processes`, `19_fresh`). A pilot with "
        "ten seeds, P1 to P5, asked nearly the same: "
        f"{words('standard', PILOT, summary.WORDS)}.",
        table(head, rows),
        "![Test OA of the plain mean minus that of one process, by steps and effective batch]"
        "(data/recorded/standard/00_regime.png)",
        f"*The map of regimes on {recipe}: OA of the plain mean minus that of one process, in "
        "points, above each at its own searched learning rate, below at one process's. Numbers "
        "where the 95 % interval over seeds does not hold 0 (not corrected for the number of "
        "cells); † marks runs at chance, hatches shares that no planner makes. Below the lines one "
        "process with a batch of n_eff loses more than 1 (dotted) and 3 points. Drawn by "
        "`00_index` from records; `15_regime` has the maps of all recipes.*",
        seen,
        *_to_accuracy_text(),
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


def _to_accuracy_text() -> list[str]:
    """Return the time to an accuracy: recorded steps times measured ones."""
    found = frame("standard", "09_to_accuracy")
    if not len(found):
        return ["No recorded training reaches the target of the time to accuracy yet."]
    rows = []
    for row in found.to_dict("records"):
        cells = [
            row["recipe"],
            row["strategy"],
            row["shares"],
            f"{row['n_eff/B']:.2f}",
            f"{row['steps to the target (virtual replicas)']:.0f}",
            f"{row['step (ms, measured)']:.1f}",
            _over_equal(row),
        ]
        rows.append(cells)
    head = [
        "recipe",
        "strategy",
        "shares",
        "n_eff/B",
        "steps (virtual replicas)",
        "step (ms, measured)",
        "time over equal (computed)",
    ]
    text = (
        "Time to the same accuracy (`09_time`; computed): steps of the recorded trainings of "
        "`15_regime` (small networks, virtual replicas), times the steps of another network, a "
        "small CNN, measured on two real processes, one of them four times slower; with the 95 % "
        "interval of both together. The shares keep both replicas, as the strategies by speed "
        "need them. Uneven shares make a step faster, and the plain mean gives time back by "
        "needing more steps. The fast device alone is the rival of both: the last row of each "
        "recipe."
    )
    return [text, table(head, rows)]


def _over_equal(row: dict[Any, Any]) -> str:
    """Return a time over that of equal shares, which has no interval itself, as text."""
    over = f"{row['over equal (computed)']:.2f}"
    if row["strategy"] == "equal":
        return over
    never = row["never reached (of the seeds)"]
    bound = f" or more ({never} never)" if never else ""
    return f"{over} ({row['low']:.2f} to {row['high']:.2f}){bound}"


def checks_text() -> list[str]:
    """Return how the checks came out."""
    text = (
        "What is true by construction is a check: *identical* where no bit of any compared value "
        "differs (of C4.2, C5.2 and C5.7 the OA of each run), else *holds* or *broken*. A check "
        "that holds is no finding:"
    )
    told = f"{text} {words('standard', CHECK, summary.CHECKED)}."
    return ["### Checks", told + _emulation_text()]


def _emulation_text() -> str:
    """Say what a broken check of the emulation means for what was measured."""
    row = _role("standard", CHECK).set_index("claim").loc["E1"]
    if row.verdict != "broken":
        return ""
    return (
        f" E1 is broken: emulated slow replicas took {100 * row.low:.0f} to {100 * row.high:.0f} % "
        "longer than they were asked to, most with few samples (`01_platform`). A platform that is "
        "called 1:4 is more uneven than that, and a second device is worth less on it. Ideals and "
        "plans go by measured speeds."
    )
