"""Tables of small records: pairs, intervals, marks, and what a made-up effect turns into."""

import math
from itertools import product

import pandas as pd
import pytest

from hetlib_bundle.studies.many import endings, regime, sizing, tables, target
from hetlib_bundle.studies.many.book import Book
from hetlib_bundle.studies.many.conditions import n_eff_ratio
from hetlib_bundle.studies.many.designs import Design, design
from hetlib_bundle.studies.many.work import do_all

SHARES = ("107/21", "90/26/9/3")
SEEDS = range(4)
LENGTHS = (50, 100, 200, 400, 800)
LOSS = {"random": -2.0, "class": -5.0, "iid": -1.0, "half": -3.0, "region": -4.0}


def row(kind: str, sampling: str, shares: str, steps: int, seed: int, role: str) -> dict:
    """A run whose OA rises with the steps and follows a made-up rule of the condition."""
    oa = 60 + 5 * math.log2(steps / 50) + 3 * seed
    wobble = 0.1 * ((seed * 7 + len(sampling)) % 3)
    if kind == "plain":
        oa += LOSS[sampling] + wobble
    if kind == "small":
        oa += LOSS["iid"]
    if role == "reference" and kind == "plain":
        oa -= 10
    numbers = [int(share) for share in shares.split("/")]
    return {
        "recipe": "made",
        "kind": kind,
        "sampling": sampling,
        "shares": shares,
        "ratio": n_eff_ratio(numbers),
        "n_eff": 128.0,
        "steps": steps,
        "edge": False,
        "role": role,
        "rate": 0.1,
        "seed": seed,
        "oa": oa,
        "aa": oa - 1,
        "worst": oa - 20,
        "forest": 70.0,
        "logistic": 60.0,
        "chance": 20.0,
        "mark": "",
    }


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    conditions = [("single", "iid", "128")]
    for shares in SHARES:
        conditions.append(("small", "iid", shares))
        for sampling in LOSS:
            conditions.append(("plain", sampling, shares))
            conditions.append(("balanced", sampling, shares))
    rows = []
    for condition in conditions:
        for steps in LENGTHS:
            for seed in SEEDS:
                for role in ("own", "reference"):
                    rows.append(row(*condition, steps, seed, role))
    return pd.DataFrame(rows)


def test_plain_against_the_small_batch(runs: pd.DataFrame) -> None:
    found = tables.small_batch_table(runs)
    assert len(found) == len(SHARES) * len(LENGTHS)
    assert found.effect.between(0, 0.2).all()  # the seeds' own level is gone
    assert (found.verdict == "supported").all()
    at_reference = tables.small_batch_table(runs, "reference")
    assert (at_reference.verdict == "not supported").all()


def test_an_optimum_at_the_edge_decides_nothing(runs: pd.DataFrame) -> None:
    kind = runs.kind == "small"
    edged = runs.assign(edge=kind & (runs.steps == 50))
    found = tables.small_batch_table(edged)
    words = found.groupby("steps").verdict.unique().to_dict()
    assert list(words.pop(50)) == ["underpowered"]
    assert all(list(word) == ["supported"] for word in words.values())


def test_swapped_names_turn_the_sign(runs: pd.DataFrame) -> None:
    names = {"plain": "balanced", "balanced": "plain"}
    swapped = runs.assign(kind=runs.kind.replace(names))
    true = tables.shards_table(runs).query("beside == 'balanced' and sampling == 'class'")
    false = tables.shards_table(swapped).query("beside == 'balanced' and sampling == 'class'")
    assert (true.high < 0).all()
    assert (false.low > 0).all()


@pytest.mark.parametrize(
    ("sampling", "beside", "effect"),
    [
        ("class", "balanced", -5),
        ("random", "balanced", -2),
        ("iid", "balanced", -1),
        ("region", "random", -2),
        ("class", "random", -3),
    ],
)
def test_the_loss_with_shards(
    runs: pd.DataFrame, sampling: str, beside: str, effect: float
) -> None:
    for score in ("oa", "worst"):
        table = tables.shards_table(runs, score)
        found = table[(table.sampling == sampling) & (table.beside == beside)]
        assert len(found) == len(SHARES) * len(LENGTHS)
        assert found.effect.tolist() == pytest.approx([effect] * len(found), abs=0.2)


def test_the_gap_at_ones_own_rate(runs: pd.DataFrame) -> None:
    found = tables.own_rate_table(runs)
    iid = found[found.sampling == "iid"].groupby("role").effect.mean()
    assert iid["own"] == pytest.approx(-1, abs=0.2)
    assert iid["reference"] == pytest.approx(-11, abs=0.2)


@pytest.mark.parametrize(
    ("oa", "mark"),
    [
        (20, "at chance"),
        (21, "at chance"),
        (30, "below the floor"),
        (59, "below the floor"),
        (60, ""),
    ],
)
def test_marks(oa: float, mark: str) -> None:
    assert tables.mark_of(oa, floor=60, chance=20, tested=1000) == mark


def test_marks_are_counted_in_every_table(runs: pd.DataFrame) -> None:
    worse = (runs.kind == "plain") & (runs.steps == 100) & (runs.seed < 3)
    marked = runs.assign(mark=runs.mark.where(~worse, "at chance"))
    for table in (
        tables.small_batch_table(marked),
        tables.own_rate_table(marked),
        tables.shards_table(marked),
        regime.regime_table(marked),
    ):
        assert table[table.steps == 100]["at chance"].eq(3).all()
        assert table[table.steps != 100]["at chance"].eq(0).all()
        assert table["below the floor"].eq(0).all()


def test_the_map_and_its_theory(runs: pd.DataFrame) -> None:
    found = regime.regime_table(runs)
    own = found[found.role == "own"]
    assert set(own.sampling) == {"iid", "random", "class"}
    assert own.theory.tolist() == pytest.approx([-1.0] * len(own))
    assert own.groupby("sampling").effect.mean()["class"] == pytest.approx(-5, abs=0.2)
    assert set(own.groupby("shares").planned.first()) == {True, False}
    assert own[own.shares == "107/21"].ratio.iloc[0] == pytest.approx(0.5486, abs=1e-3)


def test_a_theory_with_a_run_at_chance_is_none(runs: pd.DataFrame) -> None:
    worse = (runs.kind == "small") & (runs.steps == 100) & (runs.seed == 0)
    found = regime.regime_table(runs.assign(mark=runs.mark.where(~worse, "at chance")))
    assert found[found.steps == 100].theory.isna().all()
    assert found[found.steps != 100].theory.notna().all()


@pytest.mark.parametrize(
    ("shares", "planned"),
    [
        ((64, 64), True),
        ((80, 48), True),
        ((107, 21), True),
        ((125, 3), False),
        ((90, 26, 9, 3), False),
    ],
)
def test_which_shares_a_planner_makes(shares: tuple[int, ...], planned: bool) -> None:
    assert regime.is_planned(shares) == planned


def test_steps_to_a_target() -> None:
    curve = pd.Series({50: 60.0, 100: 70.0, 200: 68.0, 400: 80.0})
    assert target.steps_to(curve, 70) == pytest.approx(100)
    assert target.steps_to(curve, 65) == pytest.approx(50 * 2**0.5)
    assert target.steps_to(curve, 75) == pytest.approx(200 * 2**0.5)  # a fall counts as none
    assert target.steps_to(curve, 59) == 50
    assert target.steps_to(curve, 81) == math.inf


def test_the_ratio_of_steps(runs: pd.DataFrame) -> None:
    found = target.target_table(runs).set_index(["kind", "sampling", "shares"])
    small = found.loc[("small", "iid", "107/21")]
    assert small.ratio == pytest.approx(2 ** (1 / 5))  # a point at five points a doubling
    assert small.bound == pytest.approx(1 / 0.5486, abs=1e-2)
    assert small.reached == small.seeds == len(SEEDS)
    assert found.loc[("plain", "class", "107/21")].ratio == pytest.approx(1.97, abs=0.05)


def test_what_no_seed_reaches_has_no_ratio(runs: pd.DataFrame) -> None:
    low = runs.assign(oa=runs.oa.where(runs.kind == "single", 10.0))
    found = target.target_table(low)
    assert (found.reached == 0).all()
    assert found.ratio.isna().all()


def test_one_length_is_no_curve(runs: pd.DataFrame) -> None:
    at_the_end_alone = (runs.sampling != "region") | (runs.steps == max(LENGTHS))
    whole = target.target_table(runs)
    found = target.target_table(runs[at_the_end_alone])
    others = whole[whole.sampling != "region"]
    assert len(others) < len(whole)
    pd.testing.assert_frame_equal(found, others.reset_index(drop=True))


def test_sizing_rules() -> None:
    found = sizing.sizing_table()
    assert set(found.rule) == set(sizing.RULES)
    for shares in found.shares:
        assert sum(int(share) for share in shares.split("/")) == 128
    assert (found["over the best (%)"] >= -1e-9).all()
    cost = found.groupby("rule")["over the best (%)"].mean()
    assert cost["interpolated"] < cost["affine"] < cost["proportional"]


def test_every_rule_is_right_where_speeds_are_proportional() -> None:
    import hetlib

    models = [hetlib.SpeedModel((8, 64, 128), (8 / s, 64 / s, 128 / s)) for s in (300.0, 100.0)]
    for rule in sizing.RULES.values():
        assert rule(models, 128) == (96, 32)


def test_a_design_is_done_once_and_read(tmp_path) -> None:
    size = Design(
        recipes=("made",),
        steps=(5,),
        shares=((12, 4),),
        closely=((12, 4),),
        seeds=(0, 1),
        search_seeds=(100,),
    )
    books = {"made": Book(tmp_path / "made.jsonl", computing=True)}
    pytest.importorskip("sklearn")
    do_all(size, books)
    lines = books["made"].path.read_text()
    do_all(size, {"made": Book(tmp_path / "made.jsonl", computing=True)})
    assert books["made"].path.read_text() == lines
    read = {"made": Book(tmp_path / "made.jsonl", computing=False)}
    assert tables.missing(size, read) == 0
    found = tables.runs_table(size, read)
    assert len(found) == len(list(size.cells())) * 2 * 2
    assert found.notna().all().all()
    optima = endings.optima_table(size, read)
    assert len(optima) == (4 + 3) * 3  # shards beside balanced, and beside random ones
    by = optima[optima.score == "oa"].set_index(["sampling", "beside"])["difference"]
    control = by["class", "balanced"] - by["random", "balanced"]
    assert by["class", "random"] == pytest.approx(control)
    counts = tables.marks_table(found)
    assert (counts["at chance"] + counts["below the floor"] <= counts.runs).all()
    more = Design(**{**vars(size), "steps": (5, 6)})
    assert tables.missing(more, read) == len(list(size.cells()))


def test_the_first_cell_of_a_length_is_one_process() -> None:
    for name in ("quick", "standard"):
        size = design(name)
        for recipe, steps in product(size.recipes, size.steps):
            conditions = size.conditions(recipe, steps)
            assert conditions[0].kind == "single"
            assert len(conditions) == len(set(conditions))
    with pytest.raises(ValueError, match="`profile` is 'tiny'"):
        design("tiny")
