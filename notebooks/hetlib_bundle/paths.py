"""Where the clone is, and where the bundle's results go."""

from os import getenv
from pathlib import Path

from hetlib.paths import DATA

ROOT = DATA.parent  # the clone
NOTEBOOKS = ROOT / "notebooks"
RESULTS = Path(getenv("HETLIB_RESULTS", ROOT / "results")).resolve()
