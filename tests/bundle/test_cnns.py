"""CNNs from scratch: what is trained beside what, the tables, and small trainings."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import hetlib
import hetlib.training.run
from hetlib.files import fingerprint
from hetlib.training.records import RunRecord
from hetlib_bundle.figures.cnns import cnns_figure
from hetlib_bundle.profiles import get_profile
from hetlib_bundle.studies import cnn_runs, cnn_tables, cnns
from hetlib_bundle.studies.many.cells import OWN, REFERENCE
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.search import Rate

SIZE = dataclasses.replace(get_profile("quick"), per_class=12)
BASE = cnns.base_of("wake", SIZE, model="resnet8", augment="flips-rotations")
DESIGN = cnns.Design(
    bases=(BASE,),
    steps=(2, 4),
    worst=(45, 13, 4, 2),
    mild=(54, 10),
    lrs=(0.05, 0.1, 0.2),
    seeds=(0, 1),
    search_seeds=(100, 101),
)
# Of one process, and of the plain mean: the same after two steps.
RATES = {
    ("wake", "single", 2): Rate(0.1, False),
    ("wake", "plain", 2): Rate(0.1, False),
    ("wake", "single", 4): Rate(0.1, False),
    ("wake", "plain", 4): Rate(0.05, True),
}
CELLS = list(DESIGN.cells(RATES))
CLASSICAL = pd.DataFrame(
    {
        "dataset": "wake",
        "forest": [60.0, 70.0],
        "logistic": [50.0, 50.0],
        "chance": [20.0, 20.0],
        "tested": 100,
        "seed": [0, 1],
    }
)


def made(experiment: hetlib.Experiment, oa: float) -> RunRecord:
    """Return a record of a run, as if it had been trained."""
    return RunRecord(
        fingerprint=fingerprint(experiment.to_dict())[:16],
        experiment=experiment.to_dict(),
        platform=[],
        mode="virtual",
        times="",
        shares=list(experiment.shares or ()),
        lr=experiment.lr,
        speeds=[],
        epochs=[{"epoch": 1, "step": 1, "loss": 1.0, "oa": oa, "aa": oa, "kappa": oa}],
        confusion=[[20] + [0] * 4] * 5,
    )


def scored(oa_of: Callable[[cnns.Cell], float]) -> pd.DataFrame:
    """Return the table of all runs, with made-up scores."""
    records = [made(cell.experiment, oa_of(cell)) for cell in CELLS]
    return cnn_tables.runs_table(CELLS, records, CLASSICAL)


def some_loss(cell: cnns.Cell) -> float:
    """Score a run: one process gets more with each seed, the plain mean loses 10, then 4 points."""
    whole = 0.65 + 0.1 * cell.experiment.seed
    if cell.planned.condition.kind == "plain":
        return whole - {2: 0.1, 4: 0.04}[cell.experiment.max_steps or 0]
    if cell.planned.condition.kind == "balanced":
        return whole + 0.01
    return whole


def test_a_condition_is_trained_as_it_is_named() -> None:
    small = cnns.case_of(BASE, Condition("small", DESIGN.worst), 4, 0.1)
    assert (small.strategy, small.shares, small.global_batch) == ("single", (19,), 19)
    plain = cnns.case_of(BASE, Condition("plain", DESIGN.worst, "class"), 4, 0.1)
    assert (plain.strategy, plain.shares) == ("uneven-plain", (45, 13, 4, 2))
    assert plain.dataset_options["shards"] == "class"
    assert plain.max_steps == 4
    assert "shards" not in cnns.case_of(BASE, Condition("single", (64,)), 4, 0.1).dataset_options


def test_runs_of_a_seed_share_weights_order_and_split() -> None:
    for cell in CELLS:
        experiment = cell.experiment
        assert experiment.dataset_options["seed"] == experiment.seed
        assert experiment.evaluate_split == "test"
    assert {trial.evaluate_split for trial in DESIGN.trials()} == {"validation"}
    assert len(CELLS) == DESIGN.size == 11 * 2 * 2  # conditions, seeds, lengths


def test_each_rate_is_that_of_its_search() -> None:
    long = [cell for cell in CELLS if cell.experiment.max_steps == 4]
    found = {(cell.planned.condition.kind, cell.planned.role): cell.rate.lr for cell in long}
    assert found["single", OWN] == 0.1
    assert found["plain", REFERENCE] == 0.1
    assert found["plain", OWN] == 0.05
    assert found["small", OWN] == 0.05
    assert found["balanced", REFERENCE] == 0.1


def test_the_best_rate_of_a_search_and_whether_it_is_at_the_end() -> None:
    single = {0.05: 0.5, 0.1: 0.7, 0.2: 0.7}
    plain = {0.05: 0.6, 0.1: 0.5, 0.2: 0.4}
    oa = {"single": single, "uneven-plain": plain}
    tried = [made(trial, oa[trial.strategy][trial.lr]) for trial in DESIGN.trials()]
    table = cnn_runs.search_table(DESIGN, tried)
    assert len(table) == 2 * 2 * 3
    assert (table.seeds == 2).all()
    rates = cnn_runs.best_rates(table)
    assert rates["wake", "single", 2] == Rate(0.1, False)  # the lower of two as good
    assert rates["wake", "plain", 4] == Rate(0.05, True)


def test_data_sets_whose_search_is_not_done_wait() -> None:
    other = dataclasses.replace(BASE, dataset="brandenburg")
    both = dataclasses.replace(DESIGN, bases=(other, BASE))
    own = [made(trial, 0.5) for trial in DESIGN.trials()]
    part = [made(trial, 0.5) for trial in both.trials()][:-1]
    assert cnn_runs.searched(both, own).bases == (BASE,)
    assert cnn_runs.searched(both, part).bases == (other,)
    assert both.size == 2 * DESIGN.size


def test_differences_are_those_of_the_same_seed_and_parts() -> None:
    runs = scored(some_loss)
    assert len(runs) == len(CELLS)  # also where both roles have one rate, and so one run
    found = cnn_tables.differences(runs)
    plain = found[(found.kind == "plain") & (found.beside == "single")]
    assert plain.difference.round(6).groupby(plain.steps).unique().to_dict() == {2: [-10], 4: [-4]}
    parts = found[found.beside == "balanced"]
    assert set(parts.sampling) == {"class", "random"}
    assert parts.difference.round(6).groupby(parts.steps).unique().to_dict() == {2: [-11], 4: [-5]}
    control = found[found.beside == "small"]
    assert set(control.kind) == {"plain"}
    assert set(control.role) == {OWN}


def test_the_table_has_the_effective_batch_and_marks() -> None:
    table = cnn_tables.summary(cnn_tables.differences(scored(some_loss)))
    plain = table[(table.kind == "plain") & (table.steps == 2) & (table.shares == "45/13/4/2")]
    assert plain.n_eff.round(1).unique().tolist() == [18.8]
    # 55 is below the forest's 60 of seed 0, and 65 below the 70 of seed 1
    assert (plain["below the floor"] == 2).all()
    balanced = table[(table.kind == "balanced") & (table.steps == 2)]
    assert (balanced["below the floor"] == 0).all()
    assert (balanced.n_eff == 64).all()
    at_chance = cnn_tables.summary(cnn_tables.differences(scored(lambda _: 0.2)))
    assert (at_chance["at chance"] == 2).all()


def test_what_a_longer_training_closes() -> None:
    found = cnn_tables.differences(scored(some_loss))
    change = cnn_tables.closing(found)
    plain = change[(change.kind == "plain") & (change.beside == "single")]
    assert plain.change.round(6).unique().tolist() == [6]
    only_short = cnn_tables.closing(found[found.steps == 2])
    assert only_short.empty
    no_pair = found[found.steps == 2 * (found.seed + 1)]  # seed 0 short, seed 1 long
    assert set(no_pair.steps) == {2, 4}
    assert cnn_tables.closing(no_pair).empty


def test_findings_and_figure_of_what_there_is() -> None:
    runs = scored(some_loss)
    found = cnn_tables.differences(runs)
    table = cnn_tables.summary(found)
    level = cnn_tables.levels(runs)
    lines = cnn_tables.findings(table, cnn_tables.closing(found), level)
    assert "one process reaches 70.0 % after 2 steps and 70.0 % after 4 steps" in lines[0]
    assert "plain, 54/10 (n_eff 34) -4.0" in lines[1]
    labels = [label.get_text() for label in cnns_figure(table).axes[0].get_yticklabels()]
    names = dict.fromkeys(table[table.beside == "single"].condition)
    assert labels == [name.replace("n_eff", r"$n_{\mathrm{eff}}$") for name in names]


def test_the_answer_counts_losses_and_what_closes_them() -> None:
    found = cnn_tables.differences(scored(some_loss))
    told = cnn_tables.answer(cnn_tables.summary(found), cnn_tables.closing(found))
    plain = "the plain mean minus one process is -4.0 to -4.0 points over 6 pairs of"
    assert (
        f"after 4 steps {plain} condition and data set, with the 95 % interval below 0 in 6" in told
    )
    assert "minus one process +1.0 to +1.0 points over 3 pairs" in told
    assert told.endswith(
        "From 2 steps to 4 the loss of the plain mean becomes smaller, by the whole "
        "interval, in 6 of 6."
    )
    short = found[found.steps == 2]
    assert "From" not in cnn_tables.answer(cnn_tables.summary(short), cnn_tables.closing(short))


def test_lengths_differ_by_marker_and_panels_have_one_scale() -> None:
    table = cnn_tables.summary(cnn_tables.differences(scored(some_loss)))
    wider = table.assign(recipe="other", effect=table.effect - 50)
    one, other = cnns_figure(pd.concat([table, wider])).axes
    assert one.get_xlim() == other.get_xlim()
    short, long = (container[0] for container in one.containers)
    assert short.get_marker() != long.get_marker()
    assert short.get_markerfacecolor() == "white"


def test_sums_of_shares_must_be_equal() -> None:
    with pytest.raises(ValueError, match=r"`mild` is \(50, 10\) and `worst` \(45, 13, 4, 2\)"):
        dataclasses.replace(DESIGN, mild=(50, 10))


def test_small_trainings_are_kept_and_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [cell.experiment for cell in CELLS if cell.experiment.max_steps == 2]
    first = cnn_runs.trained(wanted[:6], tmp_path)
    assert [record.shares for record in first[:4]] == [[64], [45, 13, 4, 2], [45, 13, 4, 2], [19]]
    kinds = {cell.planned.condition.kind for cell in CELLS}
    assert kinds == {"single", "small", "plain", "balanced"}
    one, plain, own, _, parts, balanced = (record.scores for record in first)
    assert own == plain  # one rate, one run
    assert len({str(scores) for scores in (one, plain, parts, balanced)}) > 1
    monkeypatch.setattr(hetlib.training.run, "train_replica", None)  # nothing is trained again
    again = cnn_runs.trained(wanted[:6], tmp_path)
    assert [record.fingerprint for record in again] == [record.fingerprint for record in first]
    runs = cnn_tables.runs_table(CELLS, again, CLASSICAL)
    assert len(runs) == 6
