"""What the claims on fresh seeds are judged by: one value a seed, from the runs of `.fresh`.

Runs may be lost, which is no difference between two gradients but an accident of a high rate. A
seed with a run at chance is left out, from both sides of its difference; where more than
`LEFT_OUT_AT_MOST` of the seeds are, the recipe counts as not trained.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib_bundle.kept.source import resolve
from hetlib_bundle.studies.many import judged
from hetlib_bundle.studies.many.book import open_book
from hetlib_bundle.studies.many.cells import OWN
from hetlib_bundle.studies.many.fresh import Fresh, Trained, do_fresh, fresh_design, rate_of, run_of
from hetlib_bundle.studies.many.samples import SCORES
from hetlib_bundle.studies.many.study import made, one_thread
from hetlib_bundle.studies.many.tables import AT_CHANCE, POINTS, mark_of
from hetlib_bundle.studies.many.work import Books

# Of the names of the books, beside those of the first runs.
ENDING = "-fresh"

# Trained at the rate of the one process that it is compared with.
CONTROL = "control"

# Of the seeds of a recipe.
LEFT_OUT_AT_MOST = 0.02


class Found(NamedTuple):
    """What was trained.

    Attributes:
        runs: One row a run.
        missing: Blocks of runs that are not recorded yet.
        note: Sentence for captions, "" where the values were computed.
    """

    runs: pd.DataFrame
    missing: int
    note: str


def fresh_runs(profile: str = "", source: str = "") -> Found:
    """Return all runs on fresh seeds of a profile, computed here or as recorded.

    Args:
        profile: Size; empty: quick, or standard where records are read.
        source: "computed" or "recorded"; empty: ``HETLIB_SOURCE``, or computed.

    Returns:
        Of the runs: ``recipe``, ``kind``, ``sampling``, ``shares``, ``ratio``, ``n_eff``,
        ``steps``, ``role`` (`OWN`, or `CONTROL`), ``rate``, ``edge``, ``seed``, ``oa``, ``aa``,
        ``kappa``, ``worst`` (percent), ``mark``.

    Raises:
        ValueError: An unknown profile or source.
        FileNotFoundError: There is no record.
        DatasetNotFoundError: A recipe's data is not there.
    """
    profile, source = resolve(profile, source)
    design = fresh_design(profile)
    books = {name: open_book(f"{name}{ENDING}", profile, source) for name in design.recipes}
    if source == "computed":
        with one_thread():
            do_fresh(design, books)
    runs, missing = table_of(design, books)
    if runs.empty:
        folder = next(iter(books.values())).path.parent
        raise FileNotFoundError(
            f'no record in {folder}; take another profile, or source="computed" to compute it here.'
        )
    return Found(runs, missing, made(books, source))


def table_of(design: Fresh, books: Books) -> tuple[pd.DataFrame, int]:
    """Return the runs of a design, computed where the books compute, and how many blocks lack.

    Args:
        design: What is trained.
        books: One a recipe.
    """
    rows: list[dict[str, Any]] = []
    missing = 0
    for name, book in books.items():
        for found in design.trained():
            for seeds in design.blocks():
                record = run_of(design, name, found, seeds, book)
                if record is None:
                    missing += 1
                    continue
                searched = rate_of(design, name, found, book)
                assert searched is not None  # its runs are there
                rows += _rows(found, record, edge=searched.edge)
    return pd.DataFrame(rows), missing


def _rows(found: Trained, record: Mapping[str, Any], *, edge: bool) -> Iterator[dict[str, Any]]:
    """Yield a row a seed of a block."""
    condition = found.condition
    at_control = condition.kind == "plain" and found.at is not None
    about = {
        "recipe": record["recipe"],
        "kind": condition.kind,
        "sampling": condition.sampling,
        "shares": slashed(condition.shares),
        "ratio": condition.plain_n_eff / condition.global_batch,
        "n_eff": condition.n_eff,
        "steps": found.steps,
        "role": CONTROL if at_control else OWN,
        "rate": record["rate"],
        "edge": edge,
    }
    for place, seed in enumerate(record["seeds"]):
        scores = {name: POINTS * record[name][place] for name in SCORES}
        # no floor: whether the networks are trained is told by the first runs
        mark = mark_of(scores["oa"], 0.0, POINTS * record["chance"][place], record["tested"][place])
        yield {**about, "seed": seed, **scores, "mark": mark}


def rates_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rates, one row a recipe, condition and length.

    Args:
        runs: From `fresh_runs`.

    Returns:
        recipe, kind, sampling, shares, steps, role, rate, edge, runs, OA (mean, percent), and how
        many runs are at chance.
    """
    by = ["recipe", "kind", "sampling", "shares", "steps", "role"]
    lost = runs.assign(lost=runs.mark == AT_CHANCE)
    grouped = lost.groupby(by, sort=False)
    columns = {
        "rate": ("rate", "first"),
        "edge": ("edge", "first"),
        "runs": ("seed", "size"),
        "OA": ("oa", "mean"),
        AT_CHANCE: ("lost", "sum"),
    }
    return grouped.agg(**columns).reset_index()


def effective_batch(runs: pd.DataFrame) -> pd.DataFrame:
    """Return Q2: the plain mean minus one process with a batch of n_eff, at that one's rate.

    Args:
        runs: From `fresh_runs`.

    Returns:
        As `.judged.effective_batch`, and "left out".
    """
    part = runs[(runs.kind == "small") | (runs.role == CONTROL)].assign(role=OWN)
    return _judged(part, judged.effective_batch)


def to_target(runs: pd.DataFrame) -> pd.DataFrame:
    """Return Q3: how many times as many steps the plain mean needs as the balanced gradient.

    Args:
        runs: From `fresh_runs`.

    Returns:
        As `.judged.to_target`, and "left out".
    """
    plain = (runs.kind == "plain") & (runs.shares == judged.PLANNED) & (runs.role == OWN)
    part = runs[plain | (runs.kind == "single")]
    return _judged(part, judged.to_target)


def lasting(runs: pd.DataFrame) -> pd.DataFrame:
    """Return Q4: what the plain mean loses to the balanced gradient with random shards.

    Args:
        runs: From `fresh_runs`.

    Returns:
        As `.judged.lasting`, and "left out".
    """
    return _judged(runs[runs.sampling == "random"], judged.lasting)


def own_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Return Q5: the plain mean over i.i.d. draws minus one process, trained long.

    Args:
        runs: From `fresh_runs`.

    Returns:
        As `.judged.own_rate`, and "left out".
    """
    long = runs[(runs.steps == runs.steps.max()) & (runs.role == OWN) & (runs.sampling == "iid")]
    return _judged(long[long.kind.isin(("plain", "single"))], judged.own_rate)


def _judged(runs: pd.DataFrame, judge: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Return a claim's values without the seeds that have a run at chance.

    Args:
        runs: Those that the claim reads, alone.
        judge: Of `.judged`.
    """
    lost = runs[runs.mark == AT_CHANCE][["recipe", "seed"]].drop_duplicates()
    seeds = runs[["recipe", "seed"]].drop_duplicates()
    share = lost.groupby("recipe").size() / seeds.groupby("recipe").size()
    share = share.fillna(0.0)
    dropped = set(lost.itertuples(index=False, name=None))
    pairs = zip(runs.recipe, runs.seed, strict=True)
    kept = runs[[pair not in dropped for pair in pairs]]
    values = judge(kept)
    left_out = values.dataset.map(share)
    trained = left_out <= LEFT_OUT_AT_MOST
    return values.assign(trained=trained, **{"left out": left_out})
