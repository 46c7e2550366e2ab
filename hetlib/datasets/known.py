"""What ``catalog.toml`` holds: the data sets that are known by name."""

import tomllib
from pathlib import Path
from typing import Any

KNOWN: dict[str, Any] = tomllib.loads(
    Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8")
)
