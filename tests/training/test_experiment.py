"""Settings: checked, kept as given, and the same after a change of one of them."""

import dataclasses

import numpy as np
import pytest
import torch

from hetlib.datasets.catalog import DATASETS, OWN_FILES
from hetlib.training.experiment import Experiment
from hetlib.training.optimizers import optimizers

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
        {"rebalance": True, "plans": ((3, (64, 64)),)},
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


@pytest.mark.parametrize("name", ["LBFGS", "SparseAdam", "Muon", "Optimizer", "lbfgs", None])
def test_an_optimizer_that_one_pass_a_step_is_not_enough_for_is_refused(name):
    with pytest.raises(ValueError, match=r"`optimizer` is .*allowed are .*'AdamW'.*'SGD'"):
        Experiment(optimizer=name)


@pytest.mark.parametrize("name", optimizers())
def test_every_optimizer_that_is_allowed_makes_a_step(name):
    weights = [torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2, 3, 3), (2, 2), (2,))]
    optimizer = getattr(torch.optim, name)(weights, lr=0.1)
    sum(weight.square().sum() for weight in weights).backward()
    optimizer.step()
    assert all(not torch.equal(weight, torch.ones(weight.shape)) for weight in weights)


@pytest.mark.parametrize(
    ("optimizer", "options", "word"),
    [
        ("SGD", {"momentums": 0.9}, r"'momentums' .meant: 'momentum'"),
        ("SGD", {"momentum": -1}, "Invalid momentum"),
        ("Adam", {"betas": [0.9, 2.0]}, "Invalid beta"),
        ("SGD", {"lr": 0.1}, "unexpected keyword argument 'lr'"),
        ("SGD", [0.9], "`optimizer_options` is"),
        ("SGD", {"differentiable": True}, "SGD refuses it: a leaf Variable"),
        ("Adam", {"differentiable": True}, "Adam refuses it: a leaf Variable"),
    ],
)
def test_options_of_an_optimizer_are_checked(optimizer, options, word):
    with pytest.raises(ValueError, match=f"`optimizer_options`.*{word}|{word}"):
        Experiment(optimizer=optimizer, optimizer_options=options)


def test_numbers_of_numpy_are_kept_and_recorded_as_pythons():
    shares = np.array([90, 38])
    given = Experiment(
        shares=shares,
        global_batch=shares.sum(),
        lr=np.float32(0.5),
        seed=np.int8(3),
        epochs=torch.tensor(2),
        rebalance=np.bool_(False),
        plans=[(np.int64(4), shares[::-1])],
        drift=np.array([[2, (1, 4)]], dtype=object),
        dataset_options={"per_class": np.int32(20), "fractions": np.array([0.5, 0.25, 0.25])},
        optimizer_options={"momentum": np.float64(0.9), "nesterov": np.True_},
    )
    plain = Experiment(
        shares=(90, 38),
        global_batch=128,
        lr=0.5,
        seed=3,
        epochs=2,
        plans=((4, (38, 90)),),
        drift=((2, (1, 4)),),
        dataset_options={"per_class": 20, "fractions": [0.5, 0.25, 0.25]},
        optimizer_options={"momentum": 0.9, "nesterov": True},
    )
    assert given == plain
    assert given.to_dict() == plain.to_dict()
    for name in ("global_batch", "epochs", "seed"):
        assert type(getattr(given, name)) is int
    assert {type(n) for n in given.shares} == {int}
    assert given.to_dict()["dataset_options"]["per_class"] == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": "2"},
        {"epochs": True},
        {"seed": np.float32(1)},
        {"lr": "0.1"},
        {"lr": True},
        {"rebalance": 1},
        {"plans": ((1,),)},
        {"plans": 3},
        {"drift": ((-1, (1, 2)),)},
        {"dataset_options": [1]},
        {"model_options": {1: 2}},
    ],
)
def test_what_is_no_number_or_mapping_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}"):
        Experiment(**wrong)


@pytest.mark.parametrize("name", [*DATASETS, *OWN_FILES])
@pytest.mark.parametrize("option", ["transfroms", "clases", "windw", "options"])
def test_a_misspelt_option_of_any_data_set_is_refused_before_a_file_is_opened(name, option):
    with pytest.raises(ValueError, match=f"`dataset_options`: .*{option}.*allowed are .*'seed'"):
        Experiment(dataset=name, dataset_options={option: 1})


def test_what_a_class_gives_its_base_itself_is_no_option():
    for option in ("split_by", "regions"):
        with pytest.raises(ValueError, match=f"IndianPines got .* '{option}'"):
            Experiment(dataset="indian_pines", dataset_options={option: "columns"})
    with pytest.raises(ValueError, match=r"PolygonScene got .* 'labels'"):
        Experiment(dataset="polygons", dataset_options={"labels": "a.tif"})
