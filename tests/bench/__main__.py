"""Run groups of benchmarks, print a table, write ``results/bench/GROUP.csv``.

``python -m tests.bench [GROUP ...]``
"""

import csv
import importlib
import io
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hetlib.files import write_text
from hetlib_bundle.paths import RESULTS
from tests import bench
from tests.bench import Row

COLUMNS = ["name", "value", "low", "high", "runs", "goal", "holds"]


def groups() -> list[str]:
    """Return the modules beside this one that a name can pick."""
    modules = pkgutil.iter_modules(bench.__path__)
    names = [module.name for module in modules]
    return sorted(name for name in names if not name.startswith("_"))


def cells(row: Row) -> list[str]:
    """Return a row as the CSV file holds it."""
    holds = ""
    if row.holds is not None:
        holds = str(bool(row.holds)).lower()
    numbers = [f"{number:.6g}" for number in (row.value, row.low, row.high)]
    return [row.name, *numbers, str(row.runs), row.goal, holds]


def write(rows: Sequence[Row], path: Path) -> None:
    """Write a group's rows in one move."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cells, rows))
    write_text(path, text.getvalue())


def show(rows: Sequence[Row]) -> None:
    """Print rows in columns as wide as their longest entry."""
    lines = [COLUMNS, *map(cells, rows)]
    columns = zip(*lines, strict=True)
    widths = [max(map(len, column)) for column in columns]
    for line in lines:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(padded).rstrip())


def main(names: Sequence[str], results: Path = RESULTS) -> int:
    """Run the named groups, or all; return 0 whatever the goals say, 2 when a name is unknown."""
    known = groups()
    unknown = sorted(set(names) - set(known))
    if unknown:
        there_are = ", ".join(known) or "none"
        print(f"no group {', '.join(unknown)}; there are: {there_are}", file=sys.stderr)
        return 2
    for name in names or known:
        group = importlib.import_module(f"tests.bench.{name}")
        rows = group.run()
        path = results / "bench" / f"{name}.csv"
        write(rows, path)
        print(f"\n{name} ({path})")
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
