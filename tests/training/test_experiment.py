"""Settings: checked, kept as given, and the same after a change of one of them."""

import dataclasses

import pytest

from hetlib.training.experiment import Experiment

SGD = {"momentum": 0.9, "weight_decay": 5e-4}


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "resnet"},
        {"strategy": "balance"},
        {"optimizer": "Optimizer"},
        {"schedule": "linear"},
        {"dtype": "bfloat16"},
        {"global_batch": 0},
        {"epochs": 1.5},
        {"max_steps": 0},
        {"lr": float("nan")},
        {"lr": -1},
        {"shares": (100, 27)},
        {"shares": (129, -1)},
        {"seed": -1},
        {"evaluate_split": "train"},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` is "):
        Experiment(**wrong)


def test_another_optimizer_does_not_take_the_defaults_of_the_first_along():
    """Momentum is SGD's: Adam refused it, inside a replica."""
    adam = dataclasses.replace(Experiment(), optimizer="Adam")
    assert adam.optimizer_options is None
    assert adam.used_optimizer_options == {}
    back = dataclasses.replace(adam, optimizer="SGD")
    assert back == Experiment()
    assert back.used_optimizer_options == SGD


def test_options_that_were_given_stay():
    given = Experiment(optimizer_options={"momentum": 0.5})
    assert dataclasses.replace(given, seed=3).used_optimizer_options == {"momentum": 0.5}
    assert Experiment(optimizer_options={}).used_optimizer_options == {}
    assert given != Experiment()


def test_plain_values_name_the_options_that_are_used_and_read_back_equal():
    experiment = Experiment(
        shares=[100, 28], plans=[[3, [64, 64]]], drift=[[2, [1, 4.0]]], lr=1, global_batch=128
    )
    values = experiment.to_dict()
    assert values["optimizer_options"] == SGD
    assert Experiment(**values) == experiment
    assert experiment.shares == (100, 28)
    assert experiment.plans == ((3, (64, 64)),)
    assert experiment.drift == ((2, (1, 4.0)),)
    assert experiment != dataclasses.replace(experiment, seed=1)
