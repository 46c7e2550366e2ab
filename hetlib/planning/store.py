"""Plans in files: one is read again only if it is sound, and measured anew if anything is wrong."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from hetlib.containers import mapping
from hetlib.errors import wrong
from hetlib.files import fingerprint, write_text
from hetlib.inputs import path as checked_path
from hetlib.planning.link import Link
from hetlib.planning.partition import Partition
from hetlib.planning.speed import SpeedModel
from hetlib.reading import read_json


class Stored(NamedTuple):
    """A plan, and the link that it was made over; ``None`` where it was not timed."""

    plan: Partition
    link: Link | None


class PlanFile:
    """The place of one plan, named by what it depends on.

    Args:
        folder: Where plans are kept; ``None`` is nowhere: then none is found, and none written.
        decisive: What the plan depends on, as for JSON.

    Raises:
        ValueError: ``folder`` is no path, or a file is in its place.
    """

    def __init__(self, folder: Path | str | None, decisive: object) -> None:
        self._path: Path | None = None
        if folder is None or (isinstance(folder, str) and not folder):
            return
        place = checked_path("store", folder)
        if place.exists() and not place.is_dir():
            raise wrong("store", str(folder), "a folder, or a new name for one")
        name = fingerprint(decisive)[:16]
        self._path = place / f"{name}.json"

    @property
    def keeps(self) -> bool:
        """Whether there is a folder."""
        return self._path is not None

    def read(self, replicas: int, global_batch: int) -> Stored | None:
        """Return the plan, if one is there for this job.

        Args:
            replicas: How many the plan has to be for.
            global_batch: Samples a step over all of them.

        Returns:
            The plan and its link; ``None`` if there is none, or one of another version, or anything
            is wrong.
        """
        if self._path is None:
            return None
        try:
            stored = _stored_of(read_json(self._path, "stored plan"))
        except (ValueError, TypeError):  # an unknown or missing field is a TypeError
            return None
        return stored if _is_for(stored.plan, replicas, global_batch) else None

    def write(self, plan: Partition, link: Link | None = None) -> None:
        """Write the plan in one move; missing folders are made.

        Args:
            plan: What later jobs of this kind are to use.
            link: Over which it was made, where there are several replicas.
        """
        if self._path is None:
            return
        content = asdict(replace(plan, note=""))
        if link is not None:
            content["link"] = asdict(link)
        write_text(self._path, json.dumps(content))


def _stored_of(content: object) -> Stored:
    """Return the plan whose fields JSON holds; its models are mappings there, as its link is."""
    fields = mapping("plan", content)
    link = fields.pop("link", None)
    if link is not None:
        link = Link(**mapping("link", link))
    models = [SpeedModel(**mapping("model", model)) for model in fields.get("models", ())]
    return Stored(Partition(**{**fields, "models": tuple(models)}), link)


def _is_for(plan: Partition, replicas: int, global_batch: int) -> bool:
    """Return whether a plan is for a job of so many replicas and samples."""
    rows = (plan.shares, plan.names, plan.passes)
    return all(len(row) == replicas for row in rows) and plan.global_batch == global_batch
