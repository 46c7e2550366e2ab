"""Batches made of an example are the planner's own."""

import numpy as np
import pytest
import torch

from hetlib.planning.example import Example


def test_what_a_model_changes_in_its_batch_is_not_the_callers():
    rows = torch.ones(3, 2)
    level = torch.tensor(2.0)
    share = np.array(0.5)
    names = ["a"]
    example = Example({"rows": rows, "level": level, "share": share, "names": names})
    for samples in (2, 3):
        batch = example.of(samples)
        batch["rows"].zero_()
        batch["level"].zero_()
        batch["share"] *= 0
        batch["names"].append("b")
        batch.pop("rows")
    assert rows.tolist() == [[1.0, 1.0]] * 3
    assert (level.item(), share.item(), names) == (2.0, 0.5, ["a"])


def test_sparse_rows_are_taken_again_where_the_example_ends():
    rows = torch.eye(3)
    found = Example(rows.to_sparse()).of(5)
    assert torch.equal(found.to_dense(), rows[[0, 1, 2, 0, 1]])


def test_a_nested_tensor_has_no_rows():
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(ValueError, match=r"`example_batch` has tensors of .*give a function"):
        Example(nested)
