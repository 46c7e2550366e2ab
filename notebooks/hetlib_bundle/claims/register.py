"""The register of claims (data/claims.yaml), read and checked."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hetlib.training.strategies import STRATEGIES
from hetlib_bundle import paths
from hetlib_bundle.claims.quantities import QUANTITIES
from hetlib_bundle.claims.verdict import DIRECTIONS

REGISTER = paths.DATA / "claims.yaml"

# What a claim holds for by itself; the setting is "" where only one is compared.
CELL = ["dataset", "model", "setting"]

# The quantity of a claim about the column of a table; the others are about records.
COLUMN = "column"

# Fewest values that a claim may ask for: an interval needs a spread.
FEWEST = 2

# What a statement is for. A check is true by construction: where it fails, the code is wrong. A
# primary claim could have come out otherwise, and shares one level of error with the other primary
# ones. A descriptive one is judged by itself.
CHECK = "check"
PRIMARY = "primary"
DESCRIPTIVE = "descriptive"
ROLES = (CHECK, PRIMARY, DESCRIPTIVE)

# What is drawn anew from value to value: weights, order and split of a run, or the hour at which
# the machine was measured. Values of one sitting are averaged before anything is judged.
SEED = "seed"
SITTING = "sitting"
REPEATS = (SEED, SITTING)

# Over the cells of a grid, the statement holds in every one, or in at least one.
EVERY = "every"
ANY = "any"
OVER = (EVERY, ANY)


@dataclass(frozen=True)
class Claim:
    """One entry of the register; the head of ``data/claims.yaml`` explains its fields."""

    id: str

    statement: str

    # A key of QUANTITIES, or "column".
    quantity: str

    unit: str

    strategies: Sequence[str]

    data: Mapping[str, str]

    direction: str

    margin: float

    least: int

    source: Mapping[str, Any]

    # Two numbers, or three.
    grid: Sequence[int] = (1, 1)

    # One of ROLES.
    role: str = DESCRIPTIVE

    # Why the margin is what it is; a primary claim says so.
    why: str = ""

    # One of REPEATS.
    repeats: str = SEED

    # One of OVER.
    over: str = EVERY

    def __post_init__(self) -> None:
        """Check all fields."""
        self._check_words()
        self._check_role()
        self._check_numbers()
        self._check_strategies()
        self._check_data()
        self._check_source()

    def _check_words(self) -> None:
        kinds = [*QUANTITIES, COLUMN]
        self._need("quantity", self.quantity in kinds, f"one of {kinds}")
        directions = list(DIRECTIONS)
        self._need("direction", self.direction in directions, f"one of {directions}")

    def _check_role(self) -> None:
        roles = list(ROLES)
        self._need("role", self.role in roles, f"one of {roles}")
        repeats = list(REPEATS)
        self._need("repeats", self.repeats in repeats, f"one of {repeats}")
        over = list(OVER)
        self._need("over", self.over in over, f"one of {over}")
        reasoned = self.role != PRIMARY or bool(self.why)
        self._need("why", reasoned, "the reason of the margin, for a primary claim")

    def _check_numbers(self) -> None:
        number = isinstance(self.margin, (int, float)) and math.isfinite(self.margin)
        fits = number and (self.direction != "within" or self.margin > 0)
        self._need("margin", fits, "a number, > 0 for 'within'")

        enough = isinstance(self.least, int) and self.least >= FEWEST
        self._need("least", enough, f"a whole number >= {FEWEST}")

    def _check_strategies(self) -> None:
        needed = len(self.strategies)
        if self.quantity in QUANTITIES:
            needed = QUANTITIES[self.quantity].strategies
        enough = len(self.strategies) == needed
        self._need("strategies", enough, f"{needed} names for this quantity")

        known = set(self.strategies) <= set(STRATEGIES)
        self._need("strategies", known, f"names out of {list(STRATEGIES)}")

    def _check_data(self) -> None:
        allowed = CELL
        if self.quantity != COLUMN:
            allowed = CELL[:2]  # a record does not say for which setting it stands
        known = set(self.data) <= set(allowed)
        self._need("data", known, f"a mapping with keys out of {allowed}")

        fits = len(self.grid) in (2, 3) and min(self.grid) >= 1
        self._need("grid", fits, "whole numbers >= 1: data sets, CNNs, settings")

    def _check_source(self) -> None:
        needed = {"notebook", "table"}
        if self.quantity == COLUMN:
            needed.add("column")
        fits = needed <= set(self.source) <= needed | {"run_with"}
        self._need("source", fits, f"a mapping of {sorted(needed)}, run_with")

    def _need(self, field: str, holds: bool, allowed: str) -> None:
        """Refuse a field that is not as the register asks."""
        if not holds:
            value = getattr(self, field)
            raise ValueError(f"claim {self.id}: `{field}` is {value!r}; it must be {allowed}.")

    def folder(self, results: str) -> Path:
        """Return the folder that holds the claim's values.

        Args:
            results: Name of a folder of results, such as "quick-recorded".
        """
        further = [str(value) for value in self._run_with().values()]
        return paths.RESULTS / "-".join([results, *further])

    def command(self, results: str) -> str:
        """Return the shell command that makes the claim's values.

        Args:
            results: Name of the folder of results that they are wanted in.
        """
        profile, *more = results.split("-")
        source = more[0] if more else ""
        notebook = self.source["notebook"]
        if not self._run_with():
            options = f"--profile {profile}"
            if source:
                options += f" --source {source}"
            return f"hetlib reproduce {options} --only {notebook[:2]}"

        given = {"profile": profile, **self._run_with()}
        options = " ".join(f"-p {name} {value}" for name, value in given.items())
        command = f"papermill notebooks/{notebook}.ipynb out.ipynb {options}"
        if source == "recorded":  # what is not among the records has to be computed
            command += f" -p source computed, then hetlib record --profile {profile}"
        return command

    def _run_with(self) -> Mapping[str, Any]:
        """Return further parameters that the claim's notebook needs."""
        further: Mapping[str, Any] = self.source.get("run_with", {})
        return further


def load(path: Path = REGISTER) -> dict[str, Claim]:
    """Read the register.

    Args:
        path: Of the YAML file.

    Returns:
        Claims by id, in the register's order.

    Raises:
        ValueError: An unknown, missing or wrong field, or an id used twice; the message names claim
            and field.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(content.get("claims", []), 1):
        if not isinstance(entry, dict):
            raise ValueError(
                f"claim number {number} in {path} is {entry!r}; "
                "write it as fields, see the file's head."
            )
        name = entry.get("id", f"number {number}")
        where = f"claim {name} in {path}"
        _check_names(entry, where)
        if name in claims:
            raise ValueError(f"{where} is there twice; a changed claim gets a new id.")
        claims[name] = Claim(**entry)
    return claims


def _check_names(entry: Iterable[str], where: str) -> None:
    """Refuse an entry with unknown fields, or without one that has no default."""
    fields = dataclasses.fields(Claim)
    allowed = [field.name for field in fields]
    unknown = sorted(set(entry) - set(allowed))
    if unknown:
        raise ValueError(f"{where} has unknown fields {unknown}; allowed are {allowed}.")

    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    missing = [name for name in needed if name not in entry]
    if missing:
        raise ValueError(f"{where} lacks the fields {missing}; add them.")
