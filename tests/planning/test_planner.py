"""Plans for a job of one's own, with real processes."""

import dataclasses
import subprocess
import sys

import pytest
import torch

import hetlib
from tests.planning import workers

WITHOUT_EXTRAS = """
import sys
sys.modules |= dict.fromkeys(["psutil", "tqdm"])  # as if they were not installed
import hetlib, torch
plan = hetlib.plan(
    torch.nn.Linear(6, 3), torch.randn(4, 6), global_batch=16, seconds=0.1, progress=True
)
print(plan.shares)
"""


def test_a_script_of_ones_own(team):
    replicas = team(1, 12)
    bounds = [{"max_batch": 40, "multiple": 8}, {"max_batch": 40}]
    (plan, untouched), (other, also) = replicas.run(workers.own_plan, bounds)
    assert untouched
    assert also
    assert plan == other
    assert sum(plan.shares) == 48
    assert max(plan.shares) <= 40
    assert plan.shares[0] % 8 == 0
    assert plan.alone_step is None
    assert plan.names == ("replica 0 (cpu)", "replica 1 (cpu)")
    assert all(n > 0 for n in replicas.run(workers.one_step_each, (6, 2)))


def test_passes_and_the_statistics_of_a_global_batch_exclude_each_other():
    model = hetlib.convert_batchnorm(torch.nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match="`accumulate` is True for a model with BalancedBatchNorm"):
        hetlib.plan(model, torch.randn(4, 4), global_batch=8, accumulate=True)


def test_a_stored_plan_is_used_again(team, tmp_path):
    def planned(global_batch):
        return team(1, 12).run(workers.stored_plan, str(tmp_path), global_batch)

    plan, _ = planned(16)
    plan = dataclasses.replace(plan, note="")  # of how long planning took, which it does not now
    (path,) = tmp_path.glob("*.json")
    assert planned(16) == [plan, plan]
    path.write_text(path.read_text().replace("replica 0 (cpu)", "read"))
    assert [p.names[0] for p in planned(16)] == ["read", "read"]
    path.write_text("{")
    assert planned(16)[1].names[0] == "replica 0 (cpu)"
    assert sum(planned(20)[0].shares) == 20
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_plan_needs_neither_psutil_nor_tqdm():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("(16,)\n", "")
