"""Where the clone is, and where the bundle's results go."""

from os import getenv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the clone


DATA = ROOT / "data"


NOTEBOOKS = ROOT / "notebooks"


RESULTS = Path(getenv("HETLIB_RESULTS", ROOT / "results")).resolve()
