"""What a notebook computes is kept, so that its tables and figures can be drawn again without computing.

A kept value is a file ``<notebook>_<name>.jsonl`` of JSON lines: what made it, the value, and one
line a run record, so that a run is found by its fingerprint. `publish` copies those of a profile
into ``data/recorded``.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import pandas as pd

from hetlib.environment import environment
from hetlib.training.records import RunRecord
from hetlib_bundle import paths
from hetlib_bundle.kept.codec import decode, encode
from hetlib_bundle.kept.source import resolve, results_folder
from hetlib_bundle.profiles import get_profile

# which takes more than a second, and a notebook itself needs none of it
nbformat: Any = lazy.load("nbformat")


RECORDED = Path(os.environ.get("HETLIB_RECORDED", paths.DATA / "recorded")).resolve()


@dataclass(frozen=True)
class Keeper:
    """The values of one notebook: called with a name and a function, it computes and keeps, or reads."""

    notebook: str  # its number; "*" in one that computes nothing and reads what all the others left
    profile: str
    source: str  # "computed" or "recorded"
    asked: tuple[str, ...]  # further words in the folder's name
    parameters: Mapping[str, Any]  # of the notebook, which decide its values beside the profile

    @property
    def folder(self) -> str:
        """Name of the folder of results that tables and figures go to."""
        return results_folder(self.profile, self.source, self.asked)

    @property
    def store(self) -> Path:
        """Folder of single run records, shared by the notebooks."""
        return paths.RESULTS / results_folder(self.profile, self.source) / "runs"

    @property
    def kept(self) -> Path:
        """Folder of the kept values."""
        name = results_folder(self.profile, "computed", self.asked)
        return RECORDED / name if self.source == "recorded" else paths.RESULTS / name / "kept"

    @property
    def note(self) -> str:
        """Sentence for captions: when and on what the records were made; empty where the values were computed."""
        heads = list(self._heads())
        if not heads:
            return ""
        dates = sorted({head["date"][:10] for head in heads})
        versions = sorted({head["environment"]["torch"] for head in heads})
        processors = sorted({head["environment"]["processor"] for head in heads})
        when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        return f" Recorded {when}, {' and '.join(processors)}, torch {' and '.join(versions)}."

    def environment(self) -> pd.DataFrame:
        """Return what this machine and its packages are, and beside it what the records were made on."""
        here = pd.DataFrame(environment().items(), columns=["what", "found"])
        head = next(self._heads(), None)
        return here.assign(recorded=here.what.map(head["environment"])) if head else here

    def _heads(self) -> Iterator[dict[str, Any]]:
        found = (
            sorted(self.kept.glob(f"{self.notebook}_*.jsonl")) if self.source == "recorded" else []
        )
        for path in found:
            with path.open(encoding="utf-8") as file:
                yield json.loads(file.readline())

    def __call__(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return a value as it is kept: made now by ``compute``, or read.

        Args:
            name: Of the value within the notebook.
            compute: Makes it, of types that `.codec.encode` knows. Not called where records are
                read.

        Raises:
            FileNotFoundError: There is no record.
            ValueError: The record was made with other parameters.
        """
        path = self.kept / f"{self.notebook}_{name}.jsonl"
        if self.source == "computed":
            self._write(path, compute())
        if not path.exists():
            raise FileNotFoundError(
                f'no record {path}; take another profile, or source="computed" to compute it here.'
            )
        head, value, runs = read(path)
        for key, given in json.loads(json.dumps(self.parameters)).items():
            if given != (known := head["parameters"].get(key)):
                raise ValueError(
                    f"`{key}` is {given}, and {path.name} was recorded with {known}; allowed is that, or any value "
                    'with source="computed".'
                )
        if self.source == "recorded":
            for run in runs:
                run.save(self.store)
        return value

    def _write(self, path: Path, value: Any) -> None:
        """Write a kept value in one move."""
        runs: list[RunRecord] = []
        plain = encode(value, runs)
        about = {
            "profile": self.profile,
            "parameters": dict(self.parameters),
            "environment": environment(),
        }
        head = {"date": datetime.now(UTC).isoformat(timespec="seconds"), **about}
        lines = [json.dumps(line, separators=(",", ":")) for line in (head, plain)]
        lines += [run.save(self.store).read_text() for run in runs]
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text("\n".join([*lines, ""]), encoding="utf-8")
        partial.replace(path)


def keeper(
    notebook: str, profile: str = "", source: str = "", asked: Sequence[str] = (), **parameters: Any
) -> Keeper:
    """Return the keeper of a notebook's values.

    Args:
        notebook: Its number, or "*" where it reads what all the others left.
        profile: Size; empty: quick, or standard where records are read.
        source: "computed" or "recorded"; empty: ``HETLIB_SOURCE``, or computed.
        asked: Data sets and CNNs in place of the profile's, whose results have a folder of their
            own.
        parameters: The notebook's own, which decide its values.

    Raises:
        ValueError: An unknown profile or source.
    """
    profile, source = resolve(profile, source)
    get_profile(profile)
    return Keeper(notebook, profile, source, tuple(asked), parameters)


def read(path: Path) -> tuple[dict[str, Any], Any, list[RunRecord]]:
    """Return what made a kept value, the value, and the run records in it."""
    head, plain, *lines = path.read_text(encoding="utf-8").splitlines()
    runs = [RunRecord(**json.loads(line)) for line in lines]
    return json.loads(head), decode(json.loads(plain), runs), runs
