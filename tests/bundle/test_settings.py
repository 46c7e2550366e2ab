"""Settings around a base: what changes, what it is compared with, differences, the figure."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

import hetlib
import hetlib.training.run
from hetlib.datasets import load_dataset
from hetlib.models import MODELS
from hetlib.training.setup import build_network
from hetlib_bundle import paths
from hetlib_bundle.figures import settings_figure
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.kept.lines import read
from hetlib_bundle.profiles import PROFILES
from hetlib_bundle.studies import settings

BASE = hetlib.Experiment(
    global_batch=128,
    shares=(90, 26, 9, 3),
    epochs=1,
    max_steps=3,
    lr=0.05,
    model_options={"norm": "group"},
    dataset_options={"per_class": 16},
)
CASES = {name: settings.changed(BASE, changes) for name, changes in settings.SETTINGS.items()}


def train(experiment: hetlib.Experiment, **options: Any) -> hetlib.RunRecord:
    count = len(experiment.shares or ())
    platform = hetlib.Platform.emulated([1.0] * count)
    virtual = hetlib.VirtualReplicas(platform)
    return hetlib.train(experiment, virtual, **options)


def each_seed(experiment: hetlib.Experiment, *seeds: int) -> list[hetlib.RunRecord]:
    return [train(dataclasses.replace(experiment, seed=seed)) for seed in seeds]


def test_a_setting_changes_what_it_says() -> None:
    assert CASES["base"] == BASE
    mild = dataclasses.replace(BASE, shares=(64, 32, 16, 16), evaluate_every=0)
    assert CASES["mild-shares"] == mild
    assert CASES["fixed-shards"].dataset_options == {"per_class": 16, "shards": True}
    assert CASES["Adam"].used_optimizer_options == {}  # not SGD's momentum
    assert len({case.global_batch for case in CASES.values()}) == 1
    assert settings.changed(BASE, {"shares": (3, 1)}).global_batch == 4


def test_one_process_is_the_same_for_all_shares_and_owners() -> None:
    single = {name: settings.one_process(case, BASE) for name, case in CASES.items()}
    same = [name for name in single if single[name] == single["base"]]
    assert same == ["base", "mild-shares", "two-replicas", "eight-replicas", "fixed-shards"]
    assert single["base"] == dataclasses.replace(BASE, strategy="single")
    assert single["local-BatchNorm"].model_options == {"norm": "batch"}
    smaller = settings.changed(BASE, {"shares": (3, 1)})
    assert settings.one_process(smaller, BASE).global_batch == 4


def test_the_base_is_found_among_the_runs_of_07(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = hetlib.Platform.emulated([1.0, 3.3, 10.0, 30.0])
    virtual = hetlib.VirtualReplicas(platform)
    single = dataclasses.replace(BASE, strategy="single")
    known = hetlib.train(single, virtual, store=tmp_path)
    monkeypatch.setattr(hetlib.training.run, "train_replica", again)
    for name in ("base", "eight-replicas", "fixed-shards"):
        one = settings.one_process(CASES[name], BASE)
        assert hetlib.train(one, virtual, store=tmp_path) == known


def test_the_recorded_base_is_that_of_07() -> None:
    recorded = paths.RECORDED / "standard"
    known = {run.fingerprint: run for run in read(recorded / "07_runs.jsonl").runs}
    shared = [run for run in read(recorded / "14_runs.jsonl").runs if run.fingerprint in known]
    strategies = [run.experiment["strategy"] for run in shared]
    for strategy in ("single", *settings.STRATEGIES):
        assert strategies.count(strategy) == len(PROFILES["standard"].seeds)
    for run in shared:
        assert run == known[run.fingerprint]


def again(*_: Any) -> None:
    pytest.fail("trained again")


@pytest.mark.parametrize("name", MODELS)
def test_every_cnn_can_be_a_setting(name: str) -> None:
    case = settings.changed(BASE, settings.model_settings([name])[name])
    norms: dict[str, dict[str, str]] = {"vgg11": {}}
    for without_group in ("densenet121", "efficientnet_lite0"):
        norms[without_group] = {"norm": "balanced"}
    assert case.model == name
    assert case.model_options == norms.get(name, {"norm": "group"})
    data = load_dataset(case.dataset, **case.dataset_options)
    assert build_network(case, data)


def test_profiles_name_settings_and_cnns_that_exist() -> None:
    for size in PROFILES.values():
        assert set(size.settings) <= set(settings.SETTINGS)
        assert set(size.other_models) <= set(MODELS)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Rows of two settings, two strategies and two seeds, from real runs."""
    single = each_seed(dataclasses.replace(BASE, strategy="single"), 1, 0)
    parts = []
    for name in ("base", "fixed-shards"):
        for strategy in ("balanced", "uneven-plain"):
            runs = each_seed(dataclasses.replace(CASES[name], strategy=strategy), 0, 1)
            parts.append(settings.differences(name, runs, single))
    return pd.concat(parts, ignore_index=True)


def test_differences_are_paired_by_seed(table: pd.DataFrame) -> None:
    by = table.set_index(["setting", "strategy", "seed"])[settings.DIFFERENCE]
    assert by["base", "balanced"].tolist() == [0, 0]  # the arithmetic of one process
    oa = {}
    for name in ("single", "uneven-plain"):
        run = train(dataclasses.replace(BASE, strategy=name, seed=1))
        oa[name] = run.scores["oa"]
    difference = 100 * (oa["uneven-plain"] - oa["single"])
    assert by["base", "uneven-plain", 1] == pytest.approx(difference)
    assert by["fixed-shards"].ne(by["base"]).any()


def ticks(axes: Axes) -> list[float]:
    """Return where the seeds are marked, without the ticks at the ends of intervals."""
    marked = [line for line in axes.lines if line.get_marker() == "|"]
    values = [line.get_xdata() for line in marked if line.get_alpha()]
    return sorted(np.concatenate(values))


@pytest.mark.parametrize(
    "rows",
    [
        lambda table: table,
        lambda table: table[table.seed == 0],
        lambda table: table[table.strategy != "balanced"],
    ],
)
def test_the_figure_shows_means_and_seeds_and_repeats(
    rows: Callable[[pd.DataFrame], pd.DataFrame],
    table: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = rows(table)
    keep = keeper("14", "quick", "computed")
    saved = []
    for folder in ("a", "b"):
        results = tmp_path / folder
        monkeypatch.setattr(paths, "RESULTS", results)
        figure = settings_figure(shown)
        products.save_figure(figure, "14_some", caption="Some.", keep=keep)
        files = sorted(results.rglob("14_some.*"))
        saved.append([file.read_bytes() for file in files])
    assert saved[0] == saved[1]
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["base (0.25)", "fixed shards (0.25)"]
    means = shown.groupby(["setting", "strategy"])[settings.DIFFERENCE].mean()
    drawn = [bar.lines[0].get_xdata()[0] for bar in axes.containers]
    assert sorted(drawn) == pytest.approx(sorted(means))
    seeds = sorted(shown[settings.DIFFERENCE])
    assert ticks(axes) == pytest.approx(seeds)
    assert len(figure.legends[0].get_texts()) == shown.strategy.nunique()
