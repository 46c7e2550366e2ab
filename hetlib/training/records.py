"""Run records with their provenance."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hetlib.balanced.shares import slashed
from hetlib.datasets.naming import data_name
from hetlib.errors import require
from hetlib.files import write_text
from hetlib.reading import read_json
from hetlib.training import fields

if TYPE_CHECKING:
    import pandas as pd

PHASES = ("compute", "wait", "communicate", "update")

_DECIMALS = 7  # of seconds in a file: tenths of a microsecond, far below the noise of a step


@dataclass
class RunRecord:
    """Everything that one run leaves behind.

    Attributes:
        fingerprint: Names the run by all that decides its result.
        experiment: The settings.
        platform: The replicas, in the order of their ranks.
        mode: "processes" or "virtual".
        times: "measured" (a clock said so) or "modelled" (computed); "" without times.
        shares: Local batch of each replica.
        lr: Peak learning rate used.
        speeds: Of each replica, as the strategy saw them: samples/s or relative.
        epochs: One mapping an evaluation: epoch, step, loss, oa, aa, kappa.
        confusion: ``(true, predicted)`` counts of the last evaluation.
        steps: For each phase seconds, ``(steps, replicas)``.
        plans: ``[step, shares]``: which shares hold from which step on.
        started: Seconds from the call to the end of the first step.
        dataset: Checksum and sizes.
        environment: Versions, machine and threads.
        plan: Fields of the `Partition` that shares or speeds came from; None without one.
        code: Of the reader's own that decided the run: SHA-256 of its source by
            ``module:callable``.
        weights: Of the trained network, by name, if they were asked for; not saved.
    """

    fingerprint: str
    experiment: dict[str, Any]
    platform: list[dict[str, Any]]
    mode: str
    times: str
    shares: list[int]
    lr: float
    speeds: list[float]
    epochs: list[dict[str, Any]]
    confusion: list[list[int]]
    steps: dict[str, list[list[float]]] = field(default_factory=dict)
    plans: list[list[Any]] = field(default_factory=list)
    started: dict[str, float] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    code: dict[str, str] = field(default_factory=dict)
    weights: dict[str, np.ndarray] | None = field(default=None, repr=False, compare=False)

    @property
    def data_name(self) -> str:
        """What the data are called: by their folder, file or callable, or the data set's name."""
        options = self.experiment.get("dataset_options", {})
        return data_name(self.experiment["dataset"], options)

    @property
    def scores(self) -> dict[str, float]:
        """OA, AA and kappa of the last evaluation, fractions of 1."""
        return {name: self.epochs[-1][name] for name in ("oa", "aa", "kappa")}

    @property
    def step_seconds(self) -> np.ndarray:
        """Seconds of each step, ``(steps,)``.

        The slowest replica's compute, wait, communication and update.
        """
        seconds = np.sum([np.asarray(self.steps[phase]) for phase in PHASES], axis=0)
        return seconds.max(axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved; `from_dict` reads it back.

        Returns:
            All fields but the weights.
        """
        values = dataclasses.asdict(dataclasses.replace(self, weights=None))
        del values["weights"]
        return values

    def save(self, folder: Path) -> Path:
        """Write ``<fingerprint>.json``.

        Args:
            folder: Where to; it is made if it is missing.

        Returns:
            The file.

        Raises:
            ValueError: The fingerprint is none, and may name a file elsewhere.
            OSError: The file cannot be written.
        """
        if not fields.NAME.fullmatch(self.fingerprint):
            raise ValueError(
                f"`fingerprint` is {self.fingerprint!r}; it must be 16 hexadecimal digits, "
                "as `hetlib.train` gives them."
            )
        values = self.to_dict()
        for phase, seconds in self.steps.items():
            values["steps"][phase] = np.round(seconds, _DECIMALS).tolist()
        text = json.dumps(values, separators=(",", ":"), sort_keys=True)
        return write_text(folder / f"{self.fingerprint}.json", text)

    @classmethod
    def from_dict(cls, values: Any) -> "RunRecord":
        """Return the record with these fields.

        Args:
            values: What `to_dict` returned, also of an older version.

        Returns:
            The record.

        Raises:
            ValueError: They are not a run record's; the message names the field.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a run record is a mapping, and this is {repr(values)[:60]}.")
        fields.check(values)
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not the fields of a run record: {error}.") from None

    @classmethod
    def load(cls, path: Path) -> "RunRecord | None":
        """Read a record.

        Args:
            path: Its file.

        Returns:
            The record; None when there is none, or not one of this version, or another run's under
            this one's name.
        """
        try:
            record = cls.from_dict(read_json(path, "record"))
        except ValueError:
            return None
        if fields.NAME.fullmatch(path.stem) and path.stem != record.fingerprint:
            return None
        return record


def phases(stamps: np.ndarray, shares: Sequence[int]) -> dict[str, list[list[float]]]:
    """Turn time stamps into phases.

    Args:
        stamps: When each step of each active replica began, had computed, had exchanged and had
            updated, by one clock in seconds, ``(active, steps, 4)``.
        shares: Local batches of all replicas.

    Returns:
        For each phase of `PHASES` seconds, ``(steps, replicas)``; 0 for replicas without a share.
    """
    begin, computed, reduced, updated = np.moveaxis(stamps, 2, 0)  # each (active, steps)
    last = np.minimum(computed.max(axis=0), reduced)
    lengths = np.stack([computed - begin, last - computed, reduced - last, updated - reduced])

    seconds = np.zeros((len(PHASES), stamps.shape[1], len(shares)))
    seconds[..., np.flatnonzero(shares)] = np.maximum(lengths, 0).swapaxes(1, 2)
    return dict(zip(PHASES, seconds.tolist(), strict=True))


def runs_frame(records: Iterable[RunRecord]) -> "pd.DataFrame":
    """Return runs as a table.

    Args:
        records: The runs.

    Returns:
        One row a run: its settings, its last scores and, where measured, its median step in
        seconds.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    pandas = require("pandas", "cli")
    return pandas.DataFrame([_row(record) for record in records])


def _row(record: RunRecord) -> dict[str, Any]:
    """Return a run as columns, in their order."""
    settings = ("model", "strategy", "global_batch", "optimizer", "seed")
    row: dict[str, Any] = {"dataset": record.data_name}
    row |= {name: record.experiment[name] for name in settings}
    row["norm"] = record.experiment["model_options"].get("norm", "")
    row["replicas"] = len(record.platform)
    row["shares"] = slashed(record.shares)
    row["mode"] = record.mode
    row["run"] = record.fingerprint
    row["lr"] = record.lr
    row["step_s"] = _median_step(record)
    row["times"] = record.times
    return row | record.scores


def _median_step(record: RunRecord) -> float:
    """Return the median step in seconds, NaN without times; the first one warms up."""
    if not record.steps:
        return float("nan")
    return float(np.median(record.step_seconds[1:]))
