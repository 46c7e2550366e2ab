"""Run records with their provenance, read back as tidy data frames; tables and figures saved with theirs."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from . import paths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RunRecord",
    "environment",
    "epochs_frame",
    "runs_frame",
    "save_figure",
    "save_table",
    "steps_frame",
]

PHASES = ("compute", "wait", "communicate", "update")


@dataclass
class RunRecord:
    """Everything that one run leaves behind.

    Attributes:
        fingerprint: Names the run by all that decides its result.
        experiment: Its settings.
        platform: The replicas, in the order of their ranks.
        mode: ``"processes"`` or ``"virtual"``.
        times: ``"measured"`` (a clock said so) or ``"modelled"`` (computed); ``""`` without times.
        shares: Local batch of each replica.
        lr: Peak learning rate used.
        speeds: Speed of each replica that the strategy saw, in samples/s or relative.
        epochs: One mapping an evaluation: epoch, loss, oa, aa, kappa.
        confusion: ``(true, predicted)`` counts of the last evaluation.
        steps: For each of compute, wait, communicate and update the seconds, ``(steps, replicas)``.
        started: Monotonic clock when the run was asked for and when its first step began and ended.
        dataset: Checksum and sizes of what was trained on.
        environment: Versions, machine and threads.
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
    started: dict[str, float] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """OA, AA and kappa of the last evaluation, fractions of 1."""
        return {name: self.epochs[-1][name] for name in ("oa", "aa", "kappa")}

    @property
    def step_seconds(self) -> np.ndarray:
        """Seconds of each step, ``(steps,)``: the slowest replica's compute, wait, communication and update."""
        return np.sum([np.asarray(self.steps[phase]) for phase in PHASES], axis=0).max(axis=1)

    def save(self, folder: Path) -> Path:
        """Write ``<fingerprint>.json`` in one move, so that a kill leaves no half file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.fingerprint}.json"
        rounded = dataclasses.asdict(self)
        rounded["steps"] = {k: np.round(v, 7).tolist() for k, v in self.steps.items()}
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(rounded, separators=(",", ":"), sort_keys=True))
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> "RunRecord | None":
        """Read a record; ``None`` when there is none, or not one of this version."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None


def _about(record: RunRecord) -> dict[str, Any]:
    experiment = record.experiment
    names = ("dataset", "model", "strategy", "global_batch", "optimizer", "seed")
    return {name: experiment[name] for name in names} | {
        "norm": experiment["model_options"].get("norm", ""),
        "replicas": len(record.platform),
        "shares": "/".join(map(str, record.shares)),
        "mode": record.mode,
        "run": record.fingerprint,
    }


def runs_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row a run: its settings, its last scores and, where measured, its median step in seconds."""
    rows = []
    for record in records:
        step = float(np.median(record.step_seconds[1:])) if record.steps else float("nan")
        rows.append(_about(record) | record.scores | {"lr": record.lr, "step_s": step, "times": record.times})
    return pd.DataFrame(rows)


def epochs_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row an evaluation of each run."""
    return pd.DataFrame([_about(record) | epoch for record in records for epoch in record.epochs])


def steps_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row a step, replica and phase: ``seconds``, and ``begin`` within the step."""
    frames = []
    for record in records:
        seconds = np.stack([np.asarray(record.steps[phase]) for phase in PHASES])  # (phases, steps, replicas)
        phase, step, rank = np.meshgrid(PHASES, *map(range, seconds.shape[1:]), indexing="ij")
        columns = {
            "phase": phase,
            "step": step,
            "rank": rank,
            "seconds": seconds,
            "begin": seconds.cumsum(0) - seconds,
        }
        frames.append(pd.DataFrame(_about(record) | {name: values.ravel() for name, values in columns.items()}))
    return pd.concat(frames, ignore_index=True)


def environment() -> dict[str, Any]:
    """Return the versions and the machine that a result depends on."""
    packages = ("torch", "torchvision", "numpy", "pandas", "rasterio", "seaborn", "papermill")
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return {
        "python": platform.python_version(),
        **found,
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def product_path(kind: str, name: str, profile: str) -> Path:
    """Return ``results/<profile>/<kind>/<name>`` without its ending; the folder exists afterwards."""
    folder = paths.RESULTS / profile / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _write_provenance(path: Path, caption: str, records: Sequence[RunRecord]) -> None:
    about = {"caption": caption, "records": sorted({record.fingerprint for record in records})}
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")


def save_table(
    table: pd.DataFrame,
    name: str,
    *,
    caption: str,
    profile: str,
    records: Sequence[RunRecord] = (),
    digits: int = 3,
) -> None:
    """Write a table as CSV (all digits) and LaTeX, with its caption and the records behind it."""
    path = product_path("tables", name, profile)
    table.to_csv(path.with_suffix(".csv"), index=False)
    latex = _latex(table, caption, name.replace("_", "-"), digits)
    path.with_suffix(".tex").write_text(latex)
    _write_provenance(path, caption, records)


def _latex(table: pd.DataFrame, caption: str, label: str, digits: int) -> str:
    escape = str.maketrans({"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#"})

    def cell(value: Any) -> str:
        return f"{value:.{digits}f}" if isinstance(value, float) else str(value).translate(escape)

    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    rows = [" & ".join(cell(value) for value in row) + r" \\" for row in table.itertuples(index=False)]
    head = " & ".join(cell(str(column)) for column in table.columns) + r" \\"
    columns = "".join("r" if number else "l" for number in numeric)
    lines = [r"\begin{table}", rf"\caption{{{caption.translate(escape)}}}", rf"\label{{tab:{label}}}"]
    lines += [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        head,
        r"\hline",
        *rows,
        r"\hline",
        r"\end{tabular}",
    ]
    return "\n".join([*lines, r"\end{table}", ""])


def save_figure(figure: "Figure", name: str, *, caption: str, profile: str, records: Sequence[RunRecord] = ()) -> None:
    """Write a figure as PDF and 300 dpi PNG without dates: an unchanged figure is an unchanged file."""
    path = product_path("figures", name, profile)
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None, "Creator": None})
    figure.savefig(path.with_suffix(".png"), dpi=300, metadata={"Software": None})
    _write_provenance(path, caption, records)
