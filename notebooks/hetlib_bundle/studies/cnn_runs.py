"""CNNs that learn from scratch: the runs of a design, its searches, and the floors beside."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

import hetlib
from hetlib.training.experiment import Experiment
from hetlib.training.records import RunRecord
from hetlib_bundle.studies import floors
from hetlib_bundle.studies.cnns import Cell, Design, Rates
from hetlib_bundle.studies.many.search import Rate, best_of
from hetlib_bundle.studies.many.tables import POINTS


def different(cells: Iterable[Cell]) -> list[Experiment]:
    """Return the runs of cells, each once: where two searches found one rate, two cells share one.

    Args:
        cells: From `Design.cells`.
    """
    found = {text_of(cell.experiment): cell.experiment for cell in cells}
    return list(found.values())


def trained(experiments: Iterable[Experiment], store: Path | None = None) -> list[RunRecord]:
    """Train experiments one by one.

    Args:
        experiments: From `Design.trials` or `different`.
        store: Folder of single records, in which finished runs are looked up.
    """
    records = []
    for experiment in experiments:
        platform = hetlib.Platform.emulated([1.0] * len(experiment.shares or ()))
        virtual = hetlib.VirtualReplicas(platform)
        records.append(hetlib.train(experiment, virtual, store=store))
    return records


def searched(design: Design, trials: Sequence[RunRecord]) -> Design:
    """Return the design of those data sets whose searches are all there.

    Args:
        design: What is trained.
        trials: Records of `Design.trials`, as far as they were trained.
    """
    known = by_experiment(trials)
    bases = []
    for base in design.bases:
        own = replace(design, bases=(base,)).trials()
        if all(text_of(trial) in known for trial in own):
            bases.append(base)
    return replace(design, bases=tuple(bases))


def search_table(design: Design, trials: Sequence[RunRecord]) -> pd.DataFrame:
    """Return how good each rate was.

    Args:
        design: What is trained.
        trials: Records of all its `Design.trials`.

    Returns:
        A row a search and rate: ``dataset``, ``steps``, ``kind``, ``lr``, ``OA`` (percent of the
        validation data, mean over seeds), ``seeds``, ``best``.
    """
    known = by_experiment(trials)
    rows = []
    for experiment in design.trials():
        oa = known[text_of(experiment)].scores["oa"]
        kind = "single" if experiment.strategy == "single" else "plain"
        about = {"dataset": experiment.data_name, "steps": experiment.max_steps, "kind": kind}
        rows.append({**about, "lr": experiment.lr, "OA": POINTS * oa})
    by = ["dataset", "steps", "kind"]
    found = pd.DataFrame(rows).groupby([*by, "lr"], sort=False).OA.agg(["mean", "size"])
    table = found.rename(columns={"mean": "OA", "size": "seeds"}).reset_index()
    highest = table.groupby(by).OA.transform("max")
    return table.assign(best=table.OA.eq(highest))


def best_rates(table: pd.DataFrame) -> Rates:
    """Return the best rate of each search; of equally good ones the lowest.

    Args:
        table: From `search_table`.
    """
    found: dict[tuple[str, str, int], Rate] = {}
    for (dataset, steps, kind), part in table.groupby(["dataset", "steps", "kind"], sort=False):
        rising = part.sort_values("lr")
        best = best_of(rising.lr.tolist(), rising.OA.to_numpy())
        found[str(dataset), str(kind), int(str(steps))] = best
    return found


def by_experiment(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Return records by the text of their experiment, as `text_of` writes it.

    Args:
        records: What was trained so far, in any order.
    """
    return {_as_text(record.experiment): record for record in records}


def text_of(experiment: Experiment) -> str:
    """Return an experiment's settings as one text."""
    return _as_text(experiment.to_dict())


def _as_text(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, sort_keys=True)


def floors_of(design: Design) -> pd.DataFrame:
    """Return what classical methods and a guess get, one row a data set and seed of the split.

    Args:
        design: With the data sets and seeds.
    """
    parts = []
    for base in design.bases:
        for seed in design.seeds:
            options = {**base.dataset_options, "seed": seed}
            known = floors.table({base.data_name: (base.dataset, options)})
            parts.append(known.assign(seed=seed))
    return pd.concat(parts, ignore_index=True)
