"""Plans in files: one is read again only if it is sound, and measured anew if anything is wrong."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hetlib.files import fingerprint, write_text
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel


class PlanFile:
    """The place of one plan, named by what it depends on.

    Args:
        folder: Where plans are kept; ``None`` is nowhere: then none is found, and none written.
        decisive: What the plan depends on, as for JSON.
    """

    def __init__(self, folder: Path | str | None, decisive: object) -> None:
        self._path: Path | None = None
        if folder:
            name = fingerprint(decisive)[:16]
            self._path = Path(folder, f"{name}.json")

    def read(self, replicas: int, global_batch: int) -> Partition | None:
        """Return the plan, if one is there for this job.

        Args:
            replicas: How many the plan has to be for.
            global_batch: Samples a step over all of them.

        Returns:
            The plan; ``None`` if there is none, or one of another version, or anything is wrong.
        """
        if self._path is None:
            return None
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            plan = _plan_of(content)
            sound = _is_sound(plan, replicas, global_batch)
        except Exception:  # of any kind, as the file may hold anything
            return None
        return plan if sound else None

    def write(self, plan: Partition) -> None:
        """Write the plan in one move; missing folders are made.

        Args:
            plan: What later jobs of this kind are to use.
        """
        if self._path is not None:
            write_text(self._path, json.dumps(asdict(replace(plan, note=""))))


def _plan_of(content: dict[str, Any]) -> Partition:
    """Return the plan whose fields JSON holds, with lists in place of tuples."""
    fields: dict[str, Any] = {}
    for name, value in content.items():
        fields[name] = value
        if isinstance(value, list):
            fields[name] = tuple(value)
    models = [_model_of(model) for model in fields.get("models", ())]
    return Partition(**{**fields, "models": tuple(models)})


def _model_of(content: dict[str, Any]) -> SpeedModel:
    """Return the step model whose fields JSON holds."""
    batches = tuple(content["batches"])
    seconds = tuple(content["seconds"])
    model = SpeedModel(batches, seconds, content["spread"])
    sound = all(map(_is_count, batches)) and all(map(_is_time, [*seconds, model.spread]))
    if not sound:
        raise ValueError(f"no step model: {content}")
    return model


def _is_sound(plan: Partition, replicas: int, global_batch: int) -> bool:
    """Return whether all fields hold what their names say, and the shares make up the batch."""
    rows = [plan.shares, plan.compute, plan.reasons, plan.names, plan.passes]
    # of older plans some are empty
    rows += [row for row in (plan.models, plan.caps, plan.floors, plan.multiples) if row != ()]
    caps = [cap for cap in plan.caps if cap is not None]
    counts = [*plan.shares, *plan.passes, *plan.floors, *plan.multiples, *caps]
    texts = [*plan.reasons, *plan.names, plan.times, plan.alone_times, plan.note]
    steps = [plan.equal_step, plan.alone_step, plan.modelled_step]
    known = [step for step in steps if step is not None]
    times = [*plan.compute, plan.communication, plan.uncertainty, *known]
    return (
        all(_has_entries(row, replicas) for row in rows)
        and all(map(_is_count, counts))
        and all(map(_is_text, texts))
        and all(map(_is_time, times))
        and sum(plan.shares) == global_batch
    )


def _has_entries(row: object, replicas: int) -> bool:
    return isinstance(row, tuple) and len(row) == replicas


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_time(value: object) -> bool:
    """Return whether a value is a number of seconds, or a fraction: finite, not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value >= 0
