"""Step models: what they make of measured times, and many of them at once."""

import numpy as np
import pytest

from hetlib.planning.speed import Curves, SpeedModel, spread
from tests.planning.models import random_model


def test_a_share_beyond_a_cap_goes_through_in_several_passes():
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(50):
        model = random_model(rng)
        most = int(rng.integers(1, 12))
        samples = range(1, 61)
        passes = [-(-n // most) for n in samples]
        direct = [k * model.time(n / k) for n, k in zip(samples, passes, strict=True)]
        # else it is smoothed, as every step model
        if direct == sorted(direct) and model.time(1) > 1e-8:
            repeated = model.repeated(most, 60)
            found = [repeated.time(n) for n in samples]
            assert found == pytest.approx(direct, rel=1e-12)
            compared += 1
    assert compared > 15


def test_curves_are_the_models_at_once():
    rng = np.random.default_rng(1)
    models = [random_model(rng) for _ in range(40)]
    models.append(SpeedModel((4,), (0.5,)))
    shares = rng.integers(0, 40, len(models))
    times = [m.time(n) for m, n in zip(models, shares, strict=True)]
    curves = Curves(models)
    assert np.allclose(curves.time(shares), times, rtol=1e-12)
    tops = np.full(len(models), 30)
    for seconds in (1e-3, 0.5, 2.0, 4.0):
        expected = [largest(model, seconds, 30) for model in models]
        assert curves.largest(seconds, tops).tolist() == expected


def largest(model, seconds, top):
    limit = seconds * (1 + 1e-12)
    return max(n for n in range(top + 1) if model.time(n) <= limit)


def test_speed_model_is_monotone_and_extends_its_ends():
    model = SpeedModel((4, 8, 16), (1.0, 0.8, 2.0))
    assert model.seconds == (0.9, 0.9, 2.0)
    assert model.time(0) == 0
    assert model.time(24) == pytest.approx(3.1)
    one_point = SpeedModel((1,), (0.5,))
    assert one_point.time(3) == 1.5  # in proportion
    measured = SpeedModel.measured({8: [3.0, 2.0, 2.5], 4: [1.0]})
    assert measured == SpeedModel((4, 8), (1.0, 2.5), spread([3.0, 2.0, 2.5]))


@pytest.mark.parametrize("samples", [0, -1, 1])
def test_the_ends_of_a_model_are_never_below_nothing(samples):
    steep = SpeedModel((8, 9), (1.0, 2.0))  # its first line is below 0 up to 7 samples
    expected = 0.0
    if samples > 0:
        expected = 1e-9
    found = Curves([steep]).time(np.array([samples]))
    assert found.tolist() == [expected]
    assert steep.time(samples) == expected


def test_the_spread_is_a_small_part_of_the_median():
    assert spread([1.0, 1.0, 1.0]) == 0
    assert 0 < spread([1.0, 1.1, 0.9, 1.2]) < 0.15


def test_wrong_speed_models_are_refused():
    wrong = [
        ((), ()),
        ((4, 8), (1.0,)),
        ((4, 4), (1.0, 1.0)),
        ((1, 2), (0.0, 1.0)),
    ]
    for batches, seconds in wrong:
        with pytest.raises(ValueError, match=r"`batches|`seconds"):
            SpeedModel(batches, seconds)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SpeedModel(3, (1.0,)), "batches"),
        (lambda: SpeedModel((1.5,), (1.0,)), "batches"),
        (lambda: SpeedModel((True,), (1.0,)), "batches"),
        (lambda: SpeedModel((1,), 1.0), "seconds"),
        (lambda: SpeedModel((1,), ("1",)), "seconds"),
        (lambda: SpeedModel((1,), (float("nan"),)), "seconds"),
        (lambda: SpeedModel((1,), (1.0,), spread="0"), "spread"),
        (lambda: SpeedModel((1,), (1.0,), spread=-1), "spread"),
        (lambda: SpeedModel.constant(0), "samples_per_second"),
        (lambda: SpeedModel.constant("9"), "samples_per_second"),
        (lambda: SpeedModel.constant(9, overhead=None), "overhead"),
        (lambda: SpeedModel.constant(5e-324), "seconds"),
        (lambda: SpeedModel.measured([1.0]), "taken"),
        (lambda: SpeedModel.measured({}), "taken"),
        (lambda: SpeedModel.measured({1: []}), r"taken\[1\]"),
        (lambda: SpeedModel.measured({"1": [1.0]}), "taken"),
        (lambda: SpeedModel.constant(9).time("8"), "batch"),
        (lambda: SpeedModel.constant(9).time(None), "batch"),
        (lambda: SpeedModel.constant(9).slowed(0), "factor"),
        (lambda: SpeedModel.constant(9).slowed("2"), "factor"),
        (lambda: SpeedModel.constant(9).repeated(0, 8), "fitting"),
        (lambda: SpeedModel.constant(9).repeated(4, 8.5), "until"),
    ],
)
def test_what_is_no_number_is_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"`{name}"):
        make()


def test_numbers_of_numpy_are_kept_as_python_s():
    model = SpeedModel(np.array([1, 2]), np.array([0.5, 1.0]), np.float32(0))
    assert model == SpeedModel((1, 2), (0.5, 1.0))
    assert [type(value) for value in (*model.batches, *model.seconds)] == [int] * 2 + [float] * 2
