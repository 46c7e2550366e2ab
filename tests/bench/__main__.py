"""``python -m tests.bench [GROUP ...]``: run groups, print a table, write ``results/bench/GROUP.csv``."""

import csv
import importlib
import pkgutil
import sys
from pathlib import Path

from hetlib_bundle.paths import RESULTS
from tests import bench
from tests.bench import Row

COLUMNS = ["name", "value", "low", "high", "runs", "goal", "holds"]


def groups() -> list[str]:
    """Return the modules beside this one that a name can pick."""
    names = (module.name for module in pkgutil.iter_modules(bench.__path__))
    return sorted(name for name in names if not name.startswith("_"))


def cells(row: Row) -> list[str]:
    """Return a row as the CSV file holds it."""
    holds = "" if row.holds is None else str(bool(row.holds)).lower()
    numbers = [f"{number:.6g}" for number in (row.value, row.low, row.high)]
    return [row.name, *numbers, str(row.runs), row.goal, holds]


def write(rows: list[Row], path: Path) -> None:
    """Write a group's rows beside their place and rename the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *map(cells, rows)])
    partial.replace(path)


def show(rows: list[Row]) -> None:
    """Print rows in columns as wide as their longest entry."""
    lines = [COLUMNS, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def main(names: list[str], results: Path = RESULTS) -> int:
    """Run the named groups, or all; return 0 whatever the goals say, 2 when a name is unknown."""
    if unknown := sorted(set(names) - set(groups())):
        print(
            f"no group {', '.join(unknown)}; there are: {', '.join(groups()) or 'none'}",
            file=sys.stderr,
        )
        return 2
    for name in names or groups():
        rows = importlib.import_module(f"tests.bench.{name}").run()
        path = results / "bench" / f"{name}.csv"
        write(rows, path)
        print(f"\n{name} ({path})")
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
