"""Every figure drawn from real records: its size, and the same bytes twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

import hetlib
from hetlib.training import records
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle import figures
from hetlib_bundle.kept import products
from hetlib_bundle.kept.keeper import keeper
from hetlib_bundle.profiles import PROFILES, get_profile

SHARES = (24, 6, 2)
MODELS = [hetlib.SpeedModel.constant(speed, overhead=0.002) for speed in (4000, 1000, 300)]
PLAN = hetlib.partition(MODELS, 32)
ALONE = hetlib.partition(MODELS, 32, communication=lambda k: 0.1)
NAMES = ["0 (cpu)", "1 (cpu/4)", "2 (cpu/13)"]


@pytest.fixture(scope="module")
def runs() -> list[hetlib.RunRecord]:
    """Two seeds of three strategies; virtual replicas have no times, so some are put in."""
    virtual = hetlib.VirtualReplicas(hetlib.Platform.emulated([1, 4, 13]))
    size: dict[str, Any] = {
        "global_batch": 32,
        "shares": SHARES,
        "epochs": 1,
        "dataset_options": {"per_class": 16},
    }
    found = []
    for name in ("single", "uneven-plain", "balanced"):
        for seed in (0, 1):
            record = hetlib.train(hetlib.Experiment(strategy=name, seed=seed, **size), virtual)
            draws = np.random.default_rng(seed).uniform(0.001, 0.01, (4, 12, 3))
            record.steps = {phase: draws[i].tolist() for i, phase in enumerate(records.PHASES)}
            found.append(record)
    return found


FIGURES: dict[str, tuple[float, Callable[[list[hetlib.RunRecord]], Figure]]] = {
    "accuracy": (3.5, figures.accuracy_figure),
    "kappa": (3.5, lambda runs: figures.accuracy_figure(runs, "kappa")),
    "one seed": (3.5, lambda runs: figures.accuracy_figure(runs[::2])),
    "confusion": (3.5, lambda runs: figures.confusion_figure(runs[0])),
    "timeline": (7.16, lambda runs: figures.timeline_figure(runs[::2])),
    "one timeline": (7.16, lambda runs: figures.timeline_figure(runs[:1], first=0, steps=1)),
    "shares": (7.16, lambda _: figures.shares_figure(NAMES, PLAN)),
    "shares, measured": (7.16, lambda _: figures.shares_figure(NAMES, PLAN, [0.005, 0.006, 0.007])),
    "designer": (7.16, lambda _: figures.designer_figure(NAMES, PLAN)),
    "designer, one left out": (7.16, lambda _: figures.designer_figure(NAMES, ALONE)),
    "weights": (3.5, lambda _: figures.weight_figure(SHARES, [4.0, 1.0, 0.3])),
    "effective batch": (3.5, lambda _: figures.effective_batch_figure(32)),
    "step time": (3.5, lambda _: figures.step_time_figure(dict(zip(NAMES, MODELS, strict=True)))),
}


@pytest.mark.parametrize("name", FIGURES)
def test_size_and_bytes(
    name: str, runs: list[hetlib.RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width, draw = FIGURES[name]
    saved = []
    for folder in ("a", "b"):
        monkeypatch.setattr(products.paths, "RESULTS", tmp_path / folder)
        figure = draw(runs)
        products.save_figure(
            figure, "00_some", caption="Some.", keep=keeper("00", "quick", "computed"), records=runs
        )
        files = sorted((tmp_path / folder).rglob("00_some.*"))
        saved.append([file.read_bytes() for file in files])
    assert figure.get_figwidth() == width
    assert [file.suffix for file in files] == [".json", ".pdf", ".png"]
    assert saved[0] == saved[1]
    assert b"/Type3" not in saved[0][1]  # fonts are embedded as TrueType


def test_drawn_effective_batches_are_marked() -> None:
    drawn = pd.DataFrame(
        {"share": [4, 16], "strategy": ["balanced", "uneven-plain"], "effective": [31.0, 32.0]}
    )
    marks = [
        line
        for line in figures.effective_batch_figure(32, drawn).axes[0].lines
        if "drawn" in line.get_label()
    ]
    assert [tuple(mark.get_xydata()[0]) for mark in marks] == [(4, 31), (16, 32)]


def test_a_figure_shows_itself() -> None:
    data, about = figures.effective_batch_figure(32)._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR")
    assert about["image/png"]["width"] > 0


def test_every_strategy_has_a_look_of_its_own() -> None:
    assert set(figures.STYLES) == set(STRATEGIES)
    for key in ("color", "marker", "linestyle"):
        assert len({str(look[key]) for look in figures.STYLES.values()}) == len(STRATEGIES)


def test_columns_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="allowed are 1 and 2"):
        figures.ieee_style(3)


def test_profiles_grow() -> None:
    sizes = [(len(p.seeds), p.epochs, p.per_class, p.repeats, p.draws) for p in PROFILES.values()]
    assert sizes == sorted(sizes)
    with pytest.raises(
        ValueError, match=r"`profile` is 'huge'; allowed are \['quick', 'standard', 'full'\]"
    ):
        get_profile("huge")


def test_last_bits_of_the_layout_do_not_move_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(self: ConstrainedLayoutEngine, figure: Figure) -> None:
        solved(self, figure)
        for axes in figure.axes:
            where = axes.get_position(original=True).get_points()
            axes.set_position(Bbox(where + noise.uniform(-1e-12, 1e-12, where.shape)))
            axes.set_in_layout(True)
        for part in figure.subfigs:
            where = part.bbox_relative.get_points()
            part.bbox_relative.set_points(where + noise.uniform(-1e-12, 1e-12, where.shape))

    noise, solved, drawn = np.random.default_rng(0), ConstrainedLayoutEngine.execute, []
    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", execute)

    def nested() -> Figure:
        with figures.ieee_style():
            figure = figures._figure(2.0)
            for part in figure.subfigures(2, 1):
                part.suptitle("Some")
                part.subplots(1, 3)
        return figure

    for _ in range(3):
        made = [figures.shares_figure(NAMES, PLAN), nested()]
        for figure in made:
            figure.draw_without_rendering()
        places = [axes.get_position(original=True) for figure in made for axes in figure.axes]
        places += [part.bbox_relative for part in made[1].subfigs]
        drawn.append([place.extents.tolist() for place in places])
    assert drawn[0] == drawn[1] == drawn[2]
