"""One check in a process of its own: ``python -m tests.gpu.child CHECK FILE GPUS CORES``."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

from tests.gpu import Setting


def main(check: str, file: Path, setting: Setting) -> None:
    """Write each result as a line of JSON as soon as it is known."""
    module = importlib.import_module(f"tests.gpu.{check}")
    with file.open("a", encoding="utf-8") as lines:
        for result in module.run(setting):
            lines.write(json.dumps(dataclasses.asdict(result)) + "\n")
            lines.flush()


if __name__ == "__main__":
    _, name, path, gpus, cores = sys.argv
    main(name, Path(path), Setting(int(gpus), int(cores)))
