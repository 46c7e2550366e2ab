"""What classical methods reach on the very windows of a network, and runs that are no better."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hetlib.datasets import load_dataset
from hetlib.errors import require
from hetlib.training.records import RunRecord
from hetlib_bundle.studies.many.tables import MARKS, mark_of

# Of the forest, but at quick size; more of them change its score by less than a point.
TREES = 100

# Of the logistic regression's solver, at most: its score has settled by then.
PASSES = 100

# A deviation below it counts as no more than it.
LEAST_DEVIATION = 1e-3

# Columns of `table`, all in percent but the number of test windows.
COLUMNS = ["dataset", "forest", "logistic", "chance", "tested"]

# As `table` has them: of a data set by name, what each method gets.
Floors = Mapping[str, Mapping[str, float]]


def table(options: Mapping[str, tuple[str, Mapping[str, Any]]], trees: int = TREES) -> pd.DataFrame:
    """Return the test OA of a random forest and a logistic regression, one row a data set.

    Both see all values of a window, standardised by the training windows; a guess names the most
    frequent class.

    Args:
        options: Of each data set's name in tables: its name and options for `load_dataset`.
        trees: Of the forest.
    """
    rows = []
    for name, (dataset, given) in options.items():
        train = _values(load_dataset(dataset, "train", **given))
        test = _values(load_dataset(dataset, "test", **given))
        rows.append({"dataset": name, **_floors(*train, *test, trees)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _values(data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return all windows of a split as rows of numbers, and their classes."""
    images, labels = data.gather(np.arange(len(data)))
    return images.numpy().reshape(len(data), -1).astype(np.float32), labels.numpy()


def _floors(
    train: np.ndarray,
    train_labels: np.ndarray,
    test: np.ndarray,
    test_labels: np.ndarray,
    trees: int,
) -> dict[str, float]:
    """Return what the methods get, in percent, and how many windows were tested."""
    ensemble = require("sklearn.ensemble", "notebooks")
    linear = require("sklearn.linear_model", "notebooks")
    deviation = np.maximum(train.std(0), LEAST_DEVIATION)
    seen = (train - train.mean(0)) / deviation
    unseen = (test - train.mean(0)) / deviation
    methods = {
        "forest": ensemble.RandomForestClassifier(trees, random_state=0),
        "logistic": linear.LogisticRegression(max_iter=PASSES),
    }
    found = {}
    for name, method in methods.items():
        with warnings.catch_warnings():  # that the solver stopped after PASSES is intended
            warnings.simplefilter("ignore")
            method.fit(seen, train_labels)
        found[name] = 100 * float((method.predict(unseen) == test_labels).mean())
    counts = np.bincount(test_labels)
    found["chance"] = 100 * float(counts.max() / counts.sum())
    return {**found, "tested": int(counts.sum())}


def by_dataset(found: pd.DataFrame) -> Floors:
    """Return the rows of `table` by data set.

    Args:
        found: From `table`.
    """
    floors = {}
    for row in found.to_dict("records"):
        named = {str(name): value for name, value in row.items()}
        floors[named["dataset"]] = named
    return floors


def stored(results: Path) -> Floors:
    """Return the floors that `07_accuracy` left, by data set; none where it has not run.

    Args:
        results: Folder of results.
    """
    path = results / "tables" / "07_floors.csv"
    if not path.exists():
        return {}
    return by_dataset(pd.read_csv(path))


def mark(record: RunRecord, floors: Floors | None = None) -> str:
    """Return "at chance", "below the floor" or "", as is true of a run.

    Args:
        record: Of a run that was scored.
        floors: From `by_dataset`; without, or for another data set, only chance is looked at, which
            the run's own confusion matrix tells.
    """
    counts = np.sum(record.confusion, axis=1)
    chance = 100 * float(counts.max() / counts.sum())
    floor = 0.0
    known = (floors or {}).get(record.data_name)
    if known is not None:
        floor = max(known["forest"], known["logistic"])
    return mark_of(100 * record.scores["oa"], floor, chance, int(counts.sum()))


def counted(records: Sequence[RunRecord], floors: Floors | None = None) -> dict[str, int]:
    """Return how many runs have each mark.

    Args:
        records: Of one row of a table.
        floors: As for `mark`.
    """
    marks = [mark(record, floors) for record in records]
    return {name: marks.count(name) for name in MARKS}


def told(found: pd.DataFrame) -> str:
    """Return the floors in words, a data set after the other.

    Args:
        found: From `table`.
    """
    parts = []
    for row in found.to_dict("records"):
        parts.append(
            f"{row['dataset']}: random forest {row['forest']:.1f} %, logistic regression "
            f"{row['logistic']:.1f} %, a guess {row['chance']:.1f} %"
        )
    return f"Classical methods on the same windows: {'; '.join(parts)}."
