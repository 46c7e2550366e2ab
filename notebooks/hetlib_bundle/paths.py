"""Where the clone is, and where the bundle's results go."""

from os import getenv
from pathlib import Path

# The clone.
ROOT = Path(__file__).resolve().parents[2]

DATA = ROOT / "data"

NOTEBOOKS = ROOT / "notebooks"

RESULTS = Path(getenv("HETLIB_RESULTS", ROOT / "results")).resolve()

# What the notebooks kept once, in a folder a profile; the clone carries it.
RECORDED = Path(getenv("HETLIB_RECORDED", DATA / "recorded")).resolve()
