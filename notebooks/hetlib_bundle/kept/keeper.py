"""What a notebook computes is kept, so that its tables and figures can be drawn without computing.

A kept value is a file ``<notebook>_<name>.jsonl``, see `.lines`. `.running.publish` copies those of
a profile into ``data/recorded``.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hetlib.environment import environment
from hetlib_bundle import paths
from hetlib_bundle.kept import lines
from hetlib_bundle.kept.source import resolve, results_folder
from hetlib_bundle.profiles import get_profile


@dataclass(frozen=True)
class Keeper:
    """The values of one notebook.

    Called with a name and a function, it computes and keeps, or reads.
    """

    # Its number; "*" in one that computes nothing and reads what all the others left.
    notebook: str

    profile: str

    # "computed" or "recorded".
    source: str

    # Further words in the folder's name.
    asked: tuple[str, ...]

    # Of the notebook, which decide its values beside the profile.
    parameters: Mapping[str, Any]

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
        if self.source == "recorded":
            return paths.RECORDED / name
        return paths.RESULTS / name / "kept"

    @property
    def note(self) -> str:
        """Sentence for captions: when and on what the records were made.

        Empty where the values were computed.
        """
        return recorded_on(list(self._heads()))

    def environment(self) -> pd.DataFrame:
        """Return what this machine and its packages are, and what the records were made on."""
        here = pd.DataFrame(environment().items(), columns=["what", "found"])
        head = next(self._heads(), None)
        if head is None:
            return here
        return here.assign(recorded=here.what.map(head["environment"]))

    def _heads(self) -> Iterator[dict[str, Any]]:
        """Yield what made the records; nothing where the values are computed."""
        if self.source == "recorded":
            for path in sorted(self.kept.glob(f"{self.notebook}_*.jsonl")):
                yield lines.read_head(path)

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
            lines.write(
                path,
                compute(),
                profile=self.profile,
                parameters=self.parameters,
                records=self.store,
            )
        if not path.exists():
            raise FileNotFoundError(
                f'no record {path}; take another profile, or source="computed" to compute it here.'
            )
        kept = lines.read(path)
        self._check_parameters(kept.head["parameters"], path.name)
        if self.source == "recorded":
            for run in kept.runs:
                run.save(self.store)
        return kept.value

    def more(self, name: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return a table that grows by each computing: what was kept before, and rows made now.

        Times of one hour say little about another. So each run of a notebook adds a sitting to
        those that the profile has in its results, or in the records where it has none yet.

        Args:
            name: Of the value within the notebook.
            compute: Makes the new rows. Not called where records are read.

        Raises:
            FileNotFoundError: There is no record.
            ValueError: The record was made with other parameters.
        """
        if self.source == "recorded":
            return self(name, compute)
        earlier = self._earlier(name)

        def grown() -> pd.DataFrame:
            return pd.concat([*earlier, compute()], ignore_index=True)

        return self(name, grown)

    def _earlier(self, name: str) -> list[pd.DataFrame]:
        """Return the table as it was, of the results or else of the records, if there is one."""
        file = f"{self.notebook}_{name}.jsonl"
        for folder in (self.kept, paths.RECORDED / self.kept.parent.name):
            if (folder / file).exists():
                kept = lines.read(folder / file)
                self._check_parameters(kept.head["parameters"], file)
                return [kept.value]
        return []

    def _check_parameters(self, recorded: Mapping[str, Any], name: str) -> None:
        """Refuse a record that was made with other parameters than those given."""
        as_kept = json.loads(json.dumps(dict(self.parameters)))  # tuples become lists
        for key, given in as_kept.items():
            known = recorded.get(key)
            if given != known:
                raise ValueError(
                    f"`{key}` is {given}, and {name} was recorded with {known}; "
                    'allowed is that, or any value with source="computed".'
                )


def recorded_on(heads: Sequence[Mapping[str, Any]]) -> str:
    """Return when and on what records were made, as a sentence for captions; "" without records.

    Args:
        heads: Of the records.
    """
    if not heads:
        return ""
    dates = sorted({head["date"][:10] for head in heads})
    when = dates[0]
    if dates[-1] != when:
        when += f" to {dates[-1]}"
    processors = " and ".join(_found(heads, "processor"))
    versions = " and ".join(_found(heads, "torch"))
    return f" Recorded {when}, {processors}, torch {versions}."


def _found(heads: Sequence[Mapping[str, Any]], what: str) -> list[str]:
    """Return what the records were made on, each once."""
    return sorted({head["environment"][what] for head in heads})


def keeper(
    notebook: str,
    profile: str = "",
    source: str = "",
    asked: Sequence[str] = (),
    **parameters: Any,
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
