"""The register of claims (data/claims.yaml), read and checked."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hetlib.training.strategies import STRATEGIES
from hetlib_bundle import paths
from hetlib_bundle.claims.quantities import QUANTITIES
from hetlib_bundle.claims.verdict import DIRECTIONS

REGISTER = paths.DATA / "claims.yaml"


CELL = ["dataset", "model", "setting"]  # the setting is "" where only one is compared


@dataclass(frozen=True)
class Claim:
    """One entry of the register; the head of ``data/claims.yaml`` explains its fields."""

    id: str
    statement: str
    quantity: str  # a key of QUANTITIES, or "column"
    unit: str
    strategies: Sequence[str]
    data: Mapping[str, str]
    direction: str
    margin: float
    least: int
    source: Mapping[str, Any]
    grid: Sequence[int] = field(default=(1, 1))  # or three numbers

    def __post_init__(self) -> None:
        margin_ok = isinstance(self.margin, (int, float)) and math.isfinite(self.margin)
        kinds = (*QUANTITIES, "column")
        needed = (
            QUANTITIES[self.quantity][1] if self.quantity in QUANTITIES else len(self.strategies)
        )
        known = {"notebook", "table"} | ({"column"} if self.quantity == "column" else set())
        # a record does not say for which setting it stands
        cell = CELL if self.quantity == "column" else CELL[:2]
        checks = [
            ("quantity", self.quantity in kinds, f"one of {list(kinds)}"),
            ("direction", self.direction in DIRECTIONS, f"one of {list(DIRECTIONS)}"),
            (
                "margin",
                margin_ok and (self.direction != "within" or self.margin > 0),
                "a number, > 0 for 'within'",
            ),
            ("least", isinstance(self.least, int) and self.least >= 2, "a whole number >= 2"),
            ("strategies", len(self.strategies) == needed, f"{needed} names for this quantity"),
            (
                "strategies",
                set(self.strategies) <= set(STRATEGIES),
                f"names out of {list(STRATEGIES)}",
            ),
            ("data", set(self.data) <= set(cell), f"a mapping with keys out of {cell}"),
            (
                "grid",
                len(self.grid) in (2, 3) and min(self.grid) >= 1,
                "whole numbers >= 1: data sets, CNNs, settings",
            ),
            (
                "source",
                known <= set(self.source) <= known | {"run_with"},
                f"a mapping of {sorted(known)}, run_with",
            ),
        ]
        for name, holds, allowed in checks:
            if not holds:
                raise ValueError(
                    f"claim {self.id}: `{name}` is {getattr(self, name)!r}; it must be {allowed}."
                )

    def folder(self, results: str) -> Path:
        """Return the folder that holds the claim's values, of the folder of results of that name."""
        return paths.RESULTS / "-".join(
            [results, *map(str, self.source.get("run_with", {}).values())]
        )

    def command(self, results: str) -> str:
        """Return the shell command that makes the claim's values, for the folder of results of that name."""
        given = dict(zip(("profile", "source"), results.split("-"), strict=False))
        if not (extra := self.source.get("run_with", {})):
            options = " ".join(f"--{name} {value}" for name, value in given.items())
            return f"hetlib reproduce {options} --only {self.source['notebook'][:2]}"
        # what is not among the records has to be computed
        recorded = given.pop("source", "") == "recorded"
        options = " ".join(f"-p {name} {value}" for name, value in (given | extra).items())
        command = f"papermill notebooks/{self.source['notebook']}.ipynb out.ipynb {options}"
        return (
            f"{command} -p source computed, then hetlib record --profile {given['profile']}"
            if recorded
            else command
        )


def load(path: Path = REGISTER) -> dict[str, Claim]:
    """Read the register: claims by id, in its order.

    Raises:
        ValueError: An unknown, missing or wrong field, or an id used twice; the message names claim
            and field.
    """
    entries = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("claims", [])
    allowed = {
        f.name: f.default is f.default_factory is dataclasses.MISSING
        for f in dataclasses.fields(Claim)
    }
    claims: dict[str, Claim] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ValueError(
                f"claim number {number} in {path} is {entry!r}; write it as fields, see the file's head."
            )
        name = entry.get("id", f"number {number}")
        if unknown := sorted(set(entry) - set(allowed)):
            raise ValueError(
                f"claim {name} in {path} has unknown fields {unknown}; allowed are {list(allowed)}."
            )
        if missing := [key for key, needed in allowed.items() if needed and key not in entry]:
            raise ValueError(f"claim {name} in {path} lacks the fields {missing}; add them.")
        if name in claims:
            raise ValueError(
                f"claim {name} in {path} is there twice; a changed claim gets a new id."
            )
        claims[name] = Claim(**entry)
    return claims
