"""Odd settings and files, 10,000 from one seed: a clear error or a right result, soon and small.

``HETLIB_FUZZ`` sets another number of inputs, ``HETLIB_FUZZ_SEED`` another seed. An input is made
again by ``case_of(kind, seed)`` with the seed that is printed.
"""

import contextlib
import io
import os
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import files, settings
from tests.fuzz.verdict import VERDICTS, Case, Found, judged

from . import Row

NUMBER = 10_000
SHOWN = 5  # of each kind

# What is none of the right verdicts.
WRONG = ("unclear", "late", "slow", "memory")


class Kind(NamedTuple):
    """A kind of input: its part of all, and what draws one, with a folder of its own."""

    part: float
    draw: Callable[[random.Random, Path], Case]


def _without_folder(draw: Callable[[random.Random], Case]) -> Callable[[random.Random, Path], Case]:
    return lambda rng, folder: draw(rng)


KINDS = {
    "arguments": Kind(0.30, _without_folder(settings.setting)),
    "experiment": Kind(0.15, _without_folder(settings.experiment)),
    "state": Kind(0.08, _without_folder(settings.state)),
    "plan": Kind(0.02, _without_folder(settings.plan)),
    "platform file": Kind(0.12, files.platform_file),
    "experiment file": Kind(0.04, files.experiment_file),
    "stored plan": Kind(0.06, files.stored_plan),
    "record": Kind(0.06, files.record),
    "kept results": Kind(0.04, files.kept),
    "claims": Kind(0.03, files.claims),
    "images": Kind(0.04, files.images),
    "archive": Kind(0.02, files.archive),
    "rasters": Kind(0.035, files.rasters),
    "sparse raster": Kind(0.005, files.sparse),
}


class Outcome(NamedTuple):
    """What became of one input."""

    seed: str
    about: str
    found: Found


def case_of(kind: str, seed: str, folder: Path) -> Case:
    """Return the input of a kind that a seed stands for."""
    place = folder / kind.replace(" ", "-")
    place.mkdir(exist_ok=True)
    return KINDS[kind].draw(random.Random(seed), place)


def outcomes(kind: str, number: int, seed: int, folder: Path) -> list[Outcome]:
    """Return what becomes of so many inputs of a kind."""
    found = []
    for one in range(number):
        name = f"{kind} {seed} {one}"
        case = case_of(kind, name, folder)
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()):
            verdict = judged(case)
        found.append(Outcome(name, case.about, verdict))
    return found


def swept(number: int, seed: int) -> dict[str, list[Outcome]]:
    """Judge inputs of all kinds, print a line for each kind as it is done, and return them."""
    print("kind".ljust(18), "inputs", *(word.rjust(8) for word in VERDICTS), flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for kind, (part, _) in KINDS.items():
            each = outcomes(kind, max(round(part * number), 1), seed, Path(temporary))
            show(kind, each)
            found[kind] = each
    return found


def show(kind: str, each: Sequence[Outcome]) -> None:
    """Print a kind's line, and the first inputs that became something else than is right."""
    counts = Counter(outcome.found.verdict for outcome in each)
    numbers = [str(counts[word]).rjust(8) for word in VERDICTS]
    print(kind.ljust(18), str(len(each)).rjust(6), *numbers, flush=True)
    wrong = [outcome for outcome in each if outcome.found.verdict in WRONG]
    for outcome in wrong[:SHOWN]:
        print(f"  {outcome.found.verdict}: {outcome.about}")
        print(f"    seed {outcome.seed!r}: {outcome.found.said[:300]}", flush=True)


def run() -> list[Row]:
    """Sweep all kinds, and count what is wrong by kind."""
    number = int(os.getenv("HETLIB_FUZZ", str(NUMBER)))
    found = swept(number, int(os.getenv("HETLIB_FUZZ_SEED", "0")))
    rows = []
    for kind, each in found.items():
        wrong = sum(outcome.found.verdict in WRONG for outcome in each)
        row = Row(
            f"{kind}: neither clear nor right", wrong, wrong, wrong, len(each), "0", not wrong
        )
        rows.append(row)
    return rows
