"""Every figure drawn from real records: its size, and the same bytes twice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

import hetlib
from hetlib.training.records import PHASES
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle import figures
from hetlib_bundle.figures.style import looks_of
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.profiles import PROFILES, get_profile

Runs = Sequence[hetlib.RunRecord]

SHARES = (24, 6, 2)
MODELS = [hetlib.SpeedModel.constant(speed, overhead=0.002) for speed in (4000, 1000, 300)]
PLAN = hetlib.partition(MODELS, 32)
ALONE = hetlib.partition(MODELS, 32, communication=lambda k: 0.1)
NAMES = ["0 (cpu)", "1 (cpu/4)", "2 (cpu/13)"]
BY_NAME = dict(zip(NAMES, MODELS, strict=True))
MEASURED = [0.005, 0.006, 0.007]

COLUMN = 3.5  # inches
PAGE = 7.16
WIDTHS = {
    "accuracy": COLUMN,
    "kappa": COLUMN,
    "one seed": COLUMN,
    "confusion": COLUMN,
    "timeline": PAGE,
    "one timeline": PAGE,
    "shares": PAGE,
    "shares, measured": PAGE,
    "designer": PAGE,
    "designer, one left out": PAGE,
    "weights": COLUMN,
    "effective batch": COLUMN,
    "step time": COLUMN,
}
FIGURES: dict[str, Callable[[Runs], Figure]] = {
    "accuracy": figures.accuracy_figure,
    "kappa": lambda runs: figures.accuracy_figure(runs, "kappa"),
    "one seed": lambda runs: figures.accuracy_figure(runs[::2]),
    "confusion": lambda runs: figures.confusion_figure(runs[0]),
    "timeline": lambda runs: figures.timeline_figure(runs[::2]),
    "one timeline": lambda runs: figures.timeline_figure(runs[:1], first=0, steps=1),
    "shares": lambda _: figures.shares_figure(NAMES, PLAN),
    "shares, measured": lambda _: figures.shares_figure(NAMES, PLAN, MEASURED),
    "designer": lambda _: figures.designer_figure(NAMES, PLAN),
    "designer, one left out": lambda _: figures.designer_figure(NAMES, ALONE),
    "weights": lambda _: figures.weight_figure(SHARES, [4.0, 1.0, 0.3]),
    "effective batch": lambda _: figures.effective_batch_figure(32),
    "step time": lambda _: figures.step_time_figure(BY_NAME),
}


@pytest.fixture(scope="module")
def runs() -> Runs:
    """Two seeds of three strategies; virtual replicas have no times, so some are put in."""
    platform = hetlib.Platform.emulated([1, 4, 13])
    virtual = hetlib.VirtualReplicas(platform)
    found = []
    for name in ("single", "uneven-plain", "balanced"):
        for seed in (0, 1):
            experiment = hetlib.Experiment(
                strategy=name,
                seed=seed,
                global_batch=32,
                shares=SHARES,
                epochs=1,
                dataset_options={"per_class": 16},
            )
            record = hetlib.train(experiment, virtual)
            draws = np.random.default_rng(seed).uniform(0.001, 0.01, (4, 12, 3))
            record.steps = dict(zip(PHASES, draws.tolist(), strict=True))
            found.append(record)
    return found


def renamed(record: hetlib.RunRecord, strategy: str) -> hetlib.RunRecord:
    """The same run, as if it were another strategy's."""
    experiment = record.experiment | {"strategy": strategy}
    return replace(record, experiment=experiment)


def rows_of(figure: Figure) -> list[str]:
    """The names beside the rows of the first panel."""
    labels = figure.axes[0].get_yticklabels()
    return [label.get_text() for label in labels]


@pytest.mark.parametrize("name", FIGURES)
def test_size_and_bytes(
    name: str,
    runs: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep = keeper("00", "quick", "computed")
    saved = []
    for folder in ("a", "b"):
        monkeypatch.setattr(products.paths, "RESULTS", tmp_path / folder)
        figure = FIGURES[name](runs)
        products.save_figure(figure, "00_some", caption="Some.", keep=keep, records=runs)
        files = sorted((tmp_path / folder).rglob("00_some.*"))
        saved.append([file.read_bytes() for file in files])
    assert figure.get_figwidth() == WIDTHS[name]
    assert [file.suffix for file in files] == [".json", ".pdf", ".png"]
    assert saved[0] == saved[1]
    assert b"/Type3" not in saved[0][1]  # fonts are embedded as TrueType


def test_drawn_effective_batches_are_marked() -> None:
    drawn = pd.DataFrame(
        {
            "share": [4, 16],
            "strategy": ["balanced", "uneven-plain"],
            "effective": [31.0, 32.0],
        }
    )
    figure = figures.effective_batch_figure(32, drawn)
    marks = [line for line in figure.axes[0].lines if "drawn" in line.get_label()]
    assert [tuple(mark.get_xydata()[0]) for mark in marks] == [(4, 31), (16, 32)]


def test_a_figure_shows_itself() -> None:
    data, about = figures.effective_batch_figure(32)._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR")
    assert about["image/png"]["width"] > 0


def test_every_strategy_has_a_look_of_its_own() -> None:
    """Those of the table that STYLES does not know yet get a spare one."""
    assert set(figures.STYLES) <= set(STRATEGIES)
    looks = looks_of(STRATEGIES)
    assert set(looks) == set(STRATEGIES)
    for key in ("color", "marker", "linestyle"):
        values = {str(look[key]) for look in looks.values()}
        assert len(values) == len(STRATEGIES)


def test_a_strategy_without_a_look_is_drawn_last(runs: Runs) -> None:
    mine = renamed(runs[0], "mine")
    figure = figures.accuracy_figure([mine, *runs])
    assert rows_of(figure) == ["single", "uneven-plain", "balanced", "mine"]
    ticks = [line for line in figure.axes[0].lines if line.get_markersize() == 5]
    assert [len(tick.get_xdata()) for tick in ticks] == [2, 2, 2, 1]  # one a seed
    assert len({tick.get_color() for tick in ticks}) == 4


def test_lines_of_floors_are_named(runs: Runs) -> None:
    known = {"brandenburg": {"forest": 60.0, "logistic": 50.0, "chance": 12.5}}
    figure = figures.accuracy_figure(runs, floors=known)
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["better of forest and logistic regression", "a guess"]
    assert not figures.accuracy_figure(runs).legends
    assert figure.axes[0].get_title() == "brandenburg\nsmallcnn"


def test_a_strategy_without_a_look_has_its_curve_and_its_name() -> None:
    rows = []
    for strategy in ("mine", "balanced"):
        for epoch in (1, 2):
            rows.append(
                {
                    "strategy": strategy,
                    "seed": 0,
                    "epoch": epoch,
                    "loss": 1.0 / epoch,
                    "oa": 0.4 * epoch,
                    "seconds": 3.0 * epoch,
                }
            )
    figure = figures.convergence_figure(pd.DataFrame(rows))
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["balanced", "mine"]


def test_spare_looks_are_nobody_elses() -> None:
    strangers = [f"number {n}" for n in range(3)]
    looks = looks_of([*strangers, *figures.STYLES, *strangers])
    assert list(looks) == [*figures.STYLES, *strangers]
    for key in ("color", "marker", "linestyle"):
        assert len({str(look[key]) for look in looks.values()}) == len(looks)
    many = looks_of(f"number {n}" for n in range(60))
    assert len({str(look) for look in many.values()}) == 60


def test_a_strategy_of_the_table_looks_the_same_in_every_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("first", "second"):
        monkeypatch.setitem(STRATEGIES, name, STRATEGIES["balanced"])  # type: ignore[arg-type]
    alone = looks_of(["second"])
    beside = looks_of(["other", "second", "first", "single"])
    assert list(beside) == ["single", "first", "second", "other"]
    assert alone["second"] == beside["second"]


def test_columns_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="allowed are 1 and 2"):
        figures.ieee_style(3)


def test_profiles_grow() -> None:
    sizes = [(len(p.seeds), p.epochs, p.per_class, p.repeats, p.draws) for p in PROFILES.values()]
    assert sizes == sorted(sizes)
    message = r"`profile` is 'huge'; allowed are \['quick', 'standard', 'full'\]"
    with pytest.raises(ValueError, match=message):
        get_profile("huge")


def nested() -> Figure:
    """A figure of two parts, each with three panels."""
    with figures.ieee_style():
        figure = figures.new_figure(2.0)
        for part in figure.subfigures(2, 1):
            part.suptitle("Some")
            part.subplots(1, 3)
    return figure


def places(figure: Figure) -> list[Any]:
    """Where the layout puts the panels and parts of a figure."""
    figure.draw_without_rendering()
    boxes = [axes.get_position(original=True) for axes in figure.axes]
    boxes += [part.bbox_relative for part in figure.subfigs]
    return [box.extents.tolist() for box in boxes]


def test_last_bits_of_the_layout_do_not_move_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    solved = ConstrainedLayoutEngine.execute

    def shaken(points: np.ndarray) -> np.ndarray:
        return points + noise.uniform(-1e-12, 1e-12, points.shape)

    def execute(self: ConstrainedLayoutEngine, figure: Figure) -> None:
        solved(self, figure)
        for axes in figure.axes:
            where = axes.get_position(original=True).get_points()
            axes.set_position(Bbox(shaken(where)))
            axes.set_in_layout(True)
        for part in figure.subfigs:
            where = part.bbox_relative.get_points()
            part.bbox_relative.set_points(shaken(where))

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", execute)
    drawn = []
    for _ in range(3):
        shares = figures.shares_figure(NAMES, PLAN)
        drawn.append(places(shares) + places(nested()))
    assert drawn[0] == drawn[1] == drawn[2]
