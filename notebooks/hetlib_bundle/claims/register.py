"""The register of claims (data/claims.yaml), read and checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hetlib.containers import items, mapping
from hetlib.errors import from_file, shown, wrong
from hetlib.inputs import keep, number, one_of, text, whole
from hetlib.reading import read_yaml
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle import paths
from hetlib_bundle.claims.quantities import QUANTITIES
from hetlib_bundle.claims.verdict import DIRECTIONS

REGISTER = paths.DATA / "claims.yaml"

# What the file is, for messages.
KIND = "register of claims"

# What a claim holds for by itself; the setting is "" where only one is compared.
CELL = ["dataset", "model", "setting"]

# The quantity of a claim about the column of a table; the others are about records.
COLUMN = "column"

# The key of a source whose value is further parameters of its notebook.
RUN_WITH = "run_with"

# Fewest values that a claim may ask for: an interval needs a spread.
FEWEST = 2

# What a statement is for. A check is an identity or formula of the arithmetic, or measures what the
# emulated platform was built to show: where it fails, the code or the platform is at fault. A
# primary claim could have come out otherwise, and shares one level of error with the other primary
# ones. The runs of a pilot were used to plan those of a primary claim. A descriptive statement is
# judged by itself.
CHECK = "check"
PRIMARY = "primary"
PILOT = "pilot"
DESCRIPTIVE = "descriptive"
ROLES = (CHECK, PRIMARY, PILOT, DESCRIPTIVE)

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
        """Check all fields.

        Raises:
            ValueError: One is not as the register asks; the message names claim and field.
        """
        text("id", self.id)
        try:
            self._check_words()
            self._check_role()
            self._check_numbers()
            self._check_strategies()
            self._check_data()
            self._check_source()
        except ValueError as error:
            raise ValueError(f"claim {self.id}: {error}") from None

    def _check_words(self) -> None:
        text("statement", self.statement)
        text("unit", self.unit)
        one_of("quantity", self.quantity, [*QUANTITIES, COLUMN])
        one_of("direction", self.direction, DIRECTIONS)

    def _check_role(self) -> None:
        one_of("role", self.role, ROLES)
        one_of("repeats", self.repeats, REPEATS)
        one_of("over", self.over, OVER)
        if self.role in (PRIMARY, PILOT):
            text("why", self.why, words="the reason of the margin, for a primary claim or a pilot")
        elif not isinstance(self.why, str):
            raise wrong("why", self.why, "text")

    def _check_numbers(self) -> None:
        above = 0 if self.direction == "within" else None
        number("margin", self.margin, above=above)
        whole("least", self.least, low=FEWEST)

    def _check_strategies(self) -> None:
        count = None
        if self.quantity in QUANTITIES:
            count = QUANTITIES[self.quantity].strategies
        keep(self, strategies=items("strategies", self.strategies, _strategy, count=count))

    def _check_data(self) -> None:
        allowed = CELL
        if self.quantity != COLUMN:
            allowed = CELL[:2]  # a record does not say for which setting it stands
        for key, value in mapping("data", self.data, allowed).items():
            text(f"data[{key!r}]", value)
        grid = items("grid", self.grid, _size, low=2)
        if len(grid) > len(CELL):
            raise wrong("grid", self.grid, "two or three numbers: data sets, CNNs, settings")
        keep(self, grid=grid)

    def _check_source(self) -> None:
        needed = ["notebook", "table"]
        if self.quantity == COLUMN:
            needed.append("column")
        source = mapping("source", self.source, [*needed, RUN_WITH], needed)
        for name in needed:
            text(f"source[{name!r}]", source[name])
        mapping(f"source[{RUN_WITH!r}]", source.get(RUN_WITH, {}))

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
        further: Mapping[str, Any] = self.source.get(RUN_WITH, {})
        return further


def load(path: Path = REGISTER) -> dict[str, Claim]:
    """Read the register.

    Args:
        path: Of the YAML file.

    Returns:
        Claims by id, in the register's order.

    Raises:
        ValueError: The file cannot be read, a field is unknown, missing or wrong, or an id is there
            twice; the message names file, claim and field.
    """
    content = read_yaml(path, KIND)
    try:
        return _claims(content)
    except ValueError as error:
        raise from_file(path, error, what=KIND) from None


def _claims(content: object) -> dict[str, Claim]:
    """Return the claims of a file's content, by id."""
    listed = mapping("the register", content, ["claims"], ["claims"])["claims"]
    claims: dict[str, Claim] = {}
    for entry in items("claims", listed, _fields):
        claim = _claim(entry)
        if claim.id in claims:
            message = f"claim {claim.id}: `id` is there twice; a changed claim gets a new id."
            raise ValueError(message)
        claims[claim.id] = claim
    return claims


def _claim(entry: dict[str, Any]) -> Claim:
    """Return the claim of an entry."""
    fields = dataclasses.fields(Claim)
    allowed = [field.name for field in fields]
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    mapping(f"claim {shown(entry.get('id'))}", entry, allowed, needed)
    return Claim(**entry)


def _fields(name: str, value: object) -> dict[str, Any]:
    return mapping(name, value)


def _size(name: str, value: object) -> int:
    return whole(name, value, low=1)


def _strategy(name: str, value: object) -> str:
    return one_of(name, value, STRATEGIES)
