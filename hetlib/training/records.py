"""Run records with their provenance."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PHASES = ("compute", "wait", "communicate", "update")


@dataclass
class RunRecord:
    """Everything that one run leaves behind."""

    fingerprint: str  # names the run by all that decides its result
    experiment: dict[str, Any]
    platform: list[dict[str, Any]]  # the replicas, in the order of their ranks
    mode: str  # "processes" or "virtual"
    times: str  # "measured" (a clock said so) or "modelled" (computed); "" without times
    shares: list[int]  # local batch of each replica
    lr: float  # peak learning rate used
    speeds: list[float]  # of each replica, as the strategy saw them: samples/s or relative
    epochs: list[dict[str, Any]]  # one mapping an evaluation: epoch, step, loss, oa, aa, kappa
    confusion: list[list[int]]  # (true, predicted) counts of the last evaluation
    # for each phase seconds, (steps, replicas)
    steps: dict[str, list[list[float]]] = field(default_factory=dict)
    # [step, shares]: which shares hold from which step on
    plans: list[list[Any]] = field(default_factory=list)
    # seconds from the call to the end of the first step
    started: dict[str, float] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)  # checksum and sizes
    environment: dict[str, Any] = field(default_factory=dict)  # versions, machine and threads

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
        rounded = dataclasses.replace(
            self, steps={k: np.round(v, 7).tolist() for k, v in self.steps.items()}
        )
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(
            json.dumps(dataclasses.asdict(rounded), separators=(",", ":"), sort_keys=True)
        )
        temporary.replace(path)
        return path

    @classmethod
    def load(cls, path: Path) -> "RunRecord | None":
        """Read a record; ``None`` when there is none, or not one of this version."""
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, TypeError):
            return cls(**json.loads(path.read_text()))
        return None


def phases(stamps: np.ndarray, shares: Sequence[int]) -> dict[str, list[list[float]]]:
    """Turn the active replicas' time stamps into phases; all read one clock."""
    begin, computed, reduced, updated = np.moveaxis(stamps, 2, 0)  # each (active, steps)
    last = np.minimum(computed.max(axis=0), reduced)
    seconds = np.zeros((len(PHASES), stamps.shape[1], len(shares)))
    phases = np.stack([computed - begin, last - computed, reduced - last, updated - reduced])
    seconds[..., np.flatnonzero(shares)] = np.maximum(phases, 0).swapaxes(1, 2)
    return dict(zip(PHASES, seconds.tolist(), strict=True))


def runs_frame(records: Iterable[RunRecord]) -> pd.DataFrame:
    """Return one row a run: its settings, its last scores and, where measured, its median step in seconds."""
    rows = []
    for record in records:
        step = float(np.median(record.step_seconds[1:])) if record.steps else float("nan")
        experiment = record.experiment
        names = ("dataset", "model", "strategy", "global_batch", "optimizer", "seed")
        about = {name: experiment[name] for name in names} | {
            "norm": experiment["model_options"].get("norm", "")
        }
        about |= {
            "replicas": len(record.platform),
            "shares": "/".join(map(str, record.shares)),
            "mode": record.mode,
        }
        about |= {"run": record.fingerprint, "lr": record.lr, "step_s": step, "times": record.times}
        rows.append(about | record.scores)
    return pd.DataFrame(rows)
