"""Tables of CNNs that learn from scratch: a row a run, and differences paired by seed."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.studies import floors
from hetlib_bundle.studies.cnn_runs import POINTS, by_experiment, text_of
from hetlib_bundle.studies.cnns import SHARDED, Cell
from hetlib_bundle.studies.many import tables
from hetlib_bundle.studies.many.cells import OWN, REFERENCE

# Partners, in words.
BESIDE = {
    "single": "one process",
    "balanced": "the balanced gradient with the same parts and rate",
    "small": "one process with a batch of n_eff at the same rate",
}

# What tells a row of the differences apart, but for the length.
ROW = ["recipe", "shares", "kind", "sampling", "role", "beside"]


def runs_table(
    cells: Sequence[Cell],
    records: Sequence[RunRecord],
    classical: pd.DataFrame,
) -> pd.DataFrame:
    """Return all runs that there are, in columns of `many.tables.runs_table`.

    Args:
        cells: Of a design.
        records: Of them, as far as they were trained.
        classical: From `cnn_runs.floors_of`.

    Returns:
        A row a run: ``recipe`` (the data set), ``kind``, ``sampling``, ``shares``, ``n_eff`` (of
        this gradient), ``ratio`` (n_eff over the global batch), ``steps``, ``seed``, ``role``,
        ``rate``, ``edge``, ``oa``, ``forest``, ``logistic``, ``chance`` (percent) and ``mark``.
    """
    by_seed = {int(str(seed)): floors.by_dataset(part) for seed, part in classical.groupby("seed")}
    known = by_experiment(records)
    rows = []
    for cell in cells:
        record = known.get(text_of(cell.experiment))
        if record is not None:
            rows.append(_row(cell, record, by_seed[cell.experiment.seed]))
    return pd.DataFrame(rows)


def _row(cell: Cell, record: RunRecord, known: floors.Floors) -> dict[str, Any]:
    condition = cell.planned.condition
    experiment = cell.experiment
    classical = known[record.data_name]
    methods = {name: classical[name] for name in ("forest", "logistic", "chance")}
    return {
        "recipe": record.data_name,
        "kind": condition.kind,
        "sampling": condition.sampling,
        "shares": slashed(condition.shares),
        "n_eff": condition.n_eff,
        "ratio": condition.n_eff / condition.global_batch,
        "steps": experiment.max_steps,
        "seed": experiment.seed,
        "role": cell.planned.role,
        "rate": experiment.lr,
        "edge": cell.rate.edge,
        "oa": POINTS * record.scores["oa"],
        **methods,
        "mark": floors.mark(record, known),
    }


def differences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what each run is from its partners of the same data set, length and seed.

    Partners are one process (``beside`` is "single"); where replicas own parts, the balanced
    gradient with the same parts and rate ("balanced"); and for the plain mean over i.i.d. draws at
    its own rate one process with a batch of n_eff at the same rate ("small").

    Args:
        runs: From `runs_table`.

    Returns:
        The rows with ``beside`` and ``difference``, in points.
    """
    single = tables.chosen(runs, "single")
    parts = []
    for (kind, sampling, role), own in _groups(runs):
        parts.append(tables.differences(own, single).assign(beside="single"))
        if kind != "plain":
            continue
        if sampling in SHARDED:
            balanced = tables.chosen(runs, "balanced", sampling, REFERENCE)
            parts.append(tables.differences(own, balanced).assign(beside="balanced"))
        elif role == OWN:
            small = tables.chosen(runs, "small")
            parts.append(tables.differences(own, small).assign(beside="small"))
    return pd.concat(parts, ignore_index=True)


def _groups(runs: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yield the runs of each condition but one process's, by kind, sampling and role."""
    others = runs[runs.kind != "single"]
    for (kind, sampling, role), own in others.groupby(["kind", "sampling", "role"], sort=False):
        yield (str(kind), str(sampling), str(role)), own


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return the differences by row and length, as means over seeds.

    Args:
        found: From `differences`.

    Returns:
        As `many.tables.summary`, with ``condition`` in words, ``oa`` (percent, mean), and ``ratio``
        (n_eff over the global batch).
    """
    by = [*ROW, "steps"]
    table = tables.summary(found, by)
    means = found.groupby(by, sort=False)[["oa", "ratio"]].mean().reset_index()
    table = table.merge(means, on=by)
    names = [in_words(row) for row in table.to_dict("records")]
    table.insert(1, "condition", names)
    return table.sort_values("recipe", kind="stable", ignore_index=True)


def in_words(row: dict[Any, Any]) -> str:
    """Return a condition in words, such as "plain, class shards, 45/13/4/2".

    Args:
        row: With ``kind``, ``sampling``, ``shares`` and ``role``.
    """
    words = [row["kind"]]
    if row["kind"] == "small":
        words = ["one process, batch n_eff"]
    if row["sampling"] in SHARDED:
        words.append(f"{row['sampling']} shards")
    words.append(row["shares"])
    if row["role"] == OWN:
        words.append("own rate")
    return ", ".join(words)


def closing(found: pd.DataFrame) -> pd.DataFrame:
    """Return by how much the differences change from the shortest training to the longest.

    Args:
        found: From `differences`.

    Returns:
        A row a condition and partner: ``change`` in points, paired by seed, with its 95 % interval
        ``low`` to ``high``, and ``seeds``; above 0 the longer training closes a loss.
    """
    shortest = found.steps.min()
    longest = found.steps.max()
    rows = []
    for names, part in found.groupby(ROW, sort=False):
        by_seed = part.pivot_table("difference", "seed", "steps")
        both = by_seed.reindex(columns=[shortest, longest]).dropna()
        if shortest == longest or both.empty:
            continue
        change = both[longest] - both[shortest]
        row: dict[str, Any] = dict(zip(ROW, names, strict=True))
        mean, half = interval(change)
        row |= {"change": mean, "low": mean - half, "high": mean + half, "seeds": len(change)}
        rows.append({"condition": in_words(row), **row})
    return pd.DataFrame(rows, columns=["condition", *ROW, "change", "low", "high", "seeds"])


def levels(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what one process reaches beside classical methods, by data set and length.

    Args:
        runs: From `runs_table`.

    Returns:
        ``dataset``, ``steps``, ``lr``, ``edge``, ``OA`` with half its interval, ``forest``,
        ``logistic`` and ``chance`` (percent, means over the seeds' splits), ``seeds``, and how many
        runs are at chance or below the floor.
    """
    rows = []
    for (dataset, steps), part in tables.chosen(runs, "single").groupby(["recipe", "steps"]):
        row: dict[str, Any] = {"dataset": dataset, "steps": steps}
        row |= {"lr": part.rate.iloc[0], "edge": bool(part.edge.iloc[0])}
        row["OA"], row["OA ±"] = interval(part.oa)
        row |= {name: part[name].mean() for name in ("forest", "logistic", "chance")}
        rows.append({**row, "seeds": len(part), **tables.marks_of(part)})
    return pd.DataFrame(rows)


def answer(table: pd.DataFrame, change: pd.DataFrame) -> str:
    """Return what the plain mean costs, and whether a longer training closes it, in a sentence.

    Args:
        table: From `summary`.
        change: From `closing`.
    """
    longest = table.steps.max()
    last = table[(table.steps == longest) & (table.beside == "single")]
    plain = _counted(last[last.kind == "plain"])
    balanced = _counted(last[last.kind == "balanced"])
    told = (
        f"**In short:** after {longest} steps the plain mean minus one process is {plain}, and the "
        f"balanced gradient with shards minus one process {balanced}."
    )
    own = change[(change.kind == "plain") & (change.beside == "single")]
    if len(own):
        closed = int((own.low > 0).sum())
        told += (
            f" From {table.steps.min()} steps to {longest} the loss of the plain mean becomes "
            f"smaller, by the whole interval, in {closed} of {len(own)}."
        )
    return told


def _counted(rows: pd.DataFrame) -> str:
    """Return between what the means lie, and how many intervals lie below 0, as text."""
    below = int((rows.high < 0).sum())
    return (
        f"{rows.effect.min():+.1f} to {rows.effect.max():+.1f} points over {len(rows)} pairs of "
        f"condition and data set, with the 95 % interval below 0 in {below}"
    )


def findings(table: pd.DataFrame, change: pd.DataFrame, level: pd.DataFrame) -> list[str]:
    """Return what was found, in sentences, a data set after the other.

    Args:
        table: From `summary`.
        change: From `closing`.
        level: From `levels`.
    """
    lines = []
    for recipe, part in table.groupby("recipe", sort=False):
        lines.append(_told_levels(str(recipe), level[level.dataset == recipe]))
        longest = int(part.steps.max())
        last = part[part.steps == longest]
        for beside, rows in last.groupby("beside", sort=False):
            each = [f"{row.condition} (n_eff {row.n_eff:.0f}) {_told(row)}" for row in _rows(rows)]
            lines.append(
                f"On {recipe} after {longest} steps, in points of OA, minus "
                f"{BESIDE[str(beside)]}: "
                f"{'; '.join(each)}."
            )
        own = change[(change.recipe == recipe) & (change.beside == "single")]
        if len(own):
            each = [f"{row.condition} {_told(row, 'change')}" for row in _rows(own)]
            lines.append(
                f"On {recipe} the longer training changes the difference to one process by "
                f"{'; '.join(each)} points."
            )
    return lines


def _told_levels(recipe: str, part: pd.DataFrame) -> str:
    scores = [f"{row.OA:.1f} % after {row.steps} steps" for row in _rows(part)]
    floor = part.iloc[-1]
    weak = part[list(tables.MARKS)].sum(axis=1)
    pairs = zip(weak, part.seeds, strict=True)
    counted = " and ".join(f"{count} of {seeds}" for count, seeds in pairs)
    ends = [str(steps) for steps in part.steps[part.edge]]
    told = ""
    if ends:
        told = f" Its rate is at the end of those tried at {' and '.join(ends)} steps."
    return (
        f"On {recipe} one process reaches {' and '.join(scores)}; a random forest gets "
        f"{floor.forest:.1f} %, a logistic regression {floor.logistic:.1f} %. {counted} runs "
        f"are at chance or below the better floor.{told}"
    )


def _rows(table: pd.DataFrame) -> list[Any]:
    return list(table.itertuples())


def _told(row: Any, column: str = "effect") -> str:
    """Return an effect with its interval, which a single seed does not have."""
    known = f"{getattr(row, column):+.1f}"
    if row.seeds == 1:
        return f"{known} (one seed)"
    return f"{known} ({row.low:+.1f} to {row.high:+.1f})"
