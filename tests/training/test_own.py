"""The reader's own data and network in an experiment, with processes and with virtual replicas."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import hetlib
from hetlib import owncode
from hetlib.datasets.catalog import load_dataset
from hetlib.training.opening import Reader, open_experiment, open_split

from ..datasets.scenes import write_tree
from .common import PLATFORM, difference, trained
from .own import write_module

# Relative, of weights, in double precision: as without the reader's own.
CLOSE = 1e-9


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module ``shapes``, and with class folders ``fields``."""
    folder = tmp_path_factory.mktemp("mine")
    write_module(folder, "shapes_of_mine")
    write_tree(folder / "fields")
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)


def experiment(**changes) -> hetlib.Experiment:
    base = hetlib.Experiment(
        dataset="shapes_of_mine:Shapes",
        model="shapes_of_mine:Net",
        global_batch=24,
        shares=(14, 7, 3),
        epochs=2,
        dtype="float64",
        schedule="constant",
        lr=0.05,
    )
    return dataclasses.replace(base, **changes)


VIRTUAL = hetlib.VirtualReplicas(PLATFORM)

KINDS = {
    "own code": {},
    "splits and names of its own": {"dataset": "shapes_of_mine:Named"},
    "random samples": {"dataset": "shapes_of_mine:Trembling"},
    "class folders": {"dataset": "folder"},
    "flips": {"augment": "flips"},
    "flips and turns of random samples": {
        "dataset": "shapes_of_mine:Trembling",
        "augment": "flips-rotations",
    },
    "a transform": {"dataset": "folder", "transforms": "shapes_of_mine:shifted"},
}


def of_kind(mine: Path, kind: str) -> hetlib.Experiment:
    changes = dict(KINDS[kind])
    options = {}
    if changes.get("dataset") == "folder":
        options["root"] = str(mine / "fields")
    if "transforms" in changes:
        options["transforms"] = changes.pop("transforms")
    return experiment(dataset_options=options, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_train_as_virtual_replicas_do(team, mine, kind):
    case = of_kind(mine, kind)
    virtual = trained(case, VIRTUAL)
    assert difference(trained(case, team(1, 1, 1)), virtual) < CLOSE
    single = trained(dataclasses.replace(case, strategy="single", shares=None), VIRTUAL)
    assert difference(single, virtual) < CLOSE


def test_the_record_tells_which_data_and_which_code(mine, capsys):
    record = hetlib.train(experiment(), VIRTUAL)
    assert record.data_name == "Shapes"
    assert set(record.code) == {"shapes_of_mine:Shapes", "shapes_of_mine:Net"}
    assert all(len(digest) == 64 for digest in record.code.values())
    assert record.dataset["classes"] == ["class 0", "class 1", "class 2"]
    assert record.dataset["checksum"] == load_dataset("shapes_of_mine:Shapes", "test").checksum
    assert capsys.readouterr().out.startswith("Shapes Net balanced seed 0: epoch 1/2")

    folder = of_kind(mine, "class folders")
    record = hetlib.train(folder, VIRTUAL)
    assert record.data_name == "fields"
    assert "fields Net balanced" in capsys.readouterr().out
    assert set(record.code) == {"shapes_of_mine:Net"}
    assert hetlib.Experiment(**record.experiment) == folder


def test_other_samples_are_another_run():
    few = experiment(dataset_options={"samples": 60})
    checksums = {open_experiment(case).data.checksum for case in (experiment(), few)}
    assert len(checksums) == 2


def test_one_object_is_dealt_into_splits_without_a_sample_in_two():
    parts = [
        load_dataset("shapes_of_mine:Shapes", split) for split in ("train", "validation", "test")
    ]
    assert [len(part) for part in parts] == [54, 9, 27]
    seen = np.concatenate([part.gather(range(len(part)))[0].flatten(1) for part in parts])
    assert len(np.unique(seen, axis=0)) == 90
    train = parts[0]
    images, labels = train.gather(range(len(train)))
    assert torch.equal(labels, torch.from_numpy(train.labels))
    assert images.mean((0, 2, 3)).abs().max() < 1e-5
    assert (images.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_a_split_of_another_name_is_found():
    data = load_dataset("shapes_of_mine:Named", "validation")
    assert data.classes == ("nothing", "first", "second")
    assert len(data) == 60


def test_random_draws_belong_to_seed_epoch_and_sample_and_leave_the_callers_alone():
    data = open_split(experiment(dataset="shapes_of_mine:Trembling"), "train")
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    read = Reader(data, "flips-rotations", seed=3)
    together, _ = read([0, 5, 7], 2)
    alone, _ = read([7], 2)
    assert torch.rand(1) == expected
    assert torch.equal(together[2], alone[0])
    assert not torch.equal(read([7], 3)[0], alone)
    assert not torch.equal(Reader(data, "flips-rotations", seed=4)([7], 2)[0], alone)


def test_networks_that_normalise_over_batches(team):
    case = experiment(model="shapes_of_mine:Normed", model_options={"norm": "balanced"})
    assert difference(trained(case, team(1, 1, 1)), trained(case, VIRTUAL)) < CLOSE
    small = hetlib.VirtualReplicas(hetlib.Platform.from_list([{"max_batch": 4}] * 3))
    with pytest.raises(ValueError, match="`norm` is 'batch'"):
        hetlib.train(experiment(model="shapes_of_mine:Normed"), small)


WRONG = {
    "no module": ({"model": "nowhere_at_all:Net"}, "`model`.*no module 'nowhere_at_all'"),
    "no such name": ({"model": "shapes_of_mine:Nett"}, "`model`.*no 'Nett' .meant: 'Net'"),
    "text": ({"model": "shapes_of_mine:TEXT"}, "`model`.*no function or class"),
    "main": ({"model": "__main__:Net"}, "`model`.*from __main__"),
    "odd form": ({"dataset": "shapes:"}, "`dataset`.*must be 'module:callable'"),
    "no data set": ({"dataset": "shapes"}, "`dataset` is 'shapes'; allowed are .*'folder'"),
    "an object": ({"model": torch.nn.Linear}, "`model` is .*'module:callable'"),
    "an option": ({"model_options": {"widht": 3}}, "`model_options`.*'widht' .meant: 'width'"),
    "a data option": ({"dataset_options": {"smaples": 3}}, "`dataset_options`.*'samples'"),
    "no root": ({"dataset": "folder"}, "`dataset_options` lacks .'root'"),
    "no labels": (
        {"dataset": "scene", "dataset_options": {"image": "a.tif"}},
        "`dataset_options` lacks .'labels'",
    ),
    "another's name": (
        {"dataset": "wake", "dataset_options": {"image": "a.tif", "labels": "b.tif"}},
        "`dataset_options` has 'image'.*dataset='scene'",
    ),
    "another's classes": (
        {"dataset": "ucmerced", "dataset_options": {"root": "a", "classes": None}},
        "`dataset_options` has 'classes'.*dataset='folder'",
    ),
    "a function": (
        {"dataset": "folder", "dataset_options": {"root": "a", "transforms": print}},
        "`dataset_options` has 'transforms'.*module:callable",
    ),
    "augment": ({"augment": "rotate"}, "`augment` is 'rotate'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_on_construction(case):
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        experiment(**changes)


LATER = {
    "bands": ({"model": "shapes_of_mine:three_bands"}, r"`model` is .*images \(2, 2, 12, 12\).*3"),
    "classes": ({"model_options": {"classes": 5}}, r"`model` .*into \(2, 5\); \(2, 3\)"),
    "no network": ({"model": "shapes_of_mine:no_net"}, "`model`.*gives int"),
    "norm": ({"model_options": {"norm": "balanced"}}, "norm='balanced'.*no BatchNorm"),
    "no samples": ({"dataset_options": {"samples": 0}}, "no samples"),
    "no test": ({"dataset_options": {"samples": 3}}, "no samples for"),
    "no folder": ({"dataset": "folder", "dataset_options": {"root": "none"}}, "none"),
    "shape": (
        {
            "dataset": "folder",
            "dataset_options": {"root": "fields", "transforms": "shapes_of_mine:cropped"},
        },
        "after `transforms` has an image",
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_what_does_not_fit_is_said_before_a_plan_or_worker(case):
    changes, message = LATER[case]
    replicas = hetlib.Replicas(hetlib.Platform.emulated([1, 4]))
    wrong = experiment(shares=None, **changes)
    for call in (hetlib.train, hetlib.plan_experiment, hetlib.measure):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            call(wrong, replicas)
    assert not replicas._workers


def test_a_module_that_was_edited_is_no_longer_what_was_imported(mine):
    name = write_module(mine, "shapes_to_edit")
    case = experiment(model=f"{name}:Net")
    with (mine / f"{name}.py").open("a") as file:
        file.write("\n# edited\n")
    with pytest.raises(ValueError, match="has changed since it was imported"):
        hetlib.train(case, VIRTUAL)


def test_a_run_with_other_code_is_another_run(mine, tmp_path, monkeypatch):
    """A record of the same names, made by code that was edited since, is not taken for this run."""
    case = experiment()
    record = hetlib.train(case, VIRTUAL, store=tmp_path)
    assert hetlib.train(case, VIRTUAL, store=tmp_path).started == record.started
    spec, _ = owncode._imported["shapes_of_mine"]
    monkeypatch.setattr(owncode, "_checksum", lambda module: "0" * 64)
    monkeypatch.setitem(owncode._imported, "shapes_of_mine", (spec, "0" * 64))
    other = hetlib.train(case, VIRTUAL, store=tmp_path)
    assert other.fingerprint != record.fingerprint
    assert other.code["shapes_of_mine:Net"] == "0" * 64
