"""Scores of a confusion matrix, against torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_cohen_kappa,
)

from hetlib.training.evaluation import confusion_matrix, scores


def labels_and_predictions(rng, classes):
    """Return 400 labels, and predictions of which more than half are right."""
    labels = torch.from_numpy(rng.integers(0, classes, 400))
    others = torch.from_numpy(rng.integers(0, classes, 400))
    return labels, torch.where(torch.rand(400) < 0.6, labels, others)


def test_scores_equal_torchmetrics_and_parts_add_up():
    rng = np.random.default_rng(0)
    for classes in (2, 5, 9):
        labels, predicted = labels_and_predictions(rng, classes)
        whole = confusion_matrix(labels, predicted, classes)
        parts = sum(confusion_matrix(labels[i::3], predicted[i::3], classes) for i in range(3))
        assert torch.equal(whole, parts)
        found = scores(whole.numpy())
        micro = multiclass_accuracy(predicted, labels, classes, average="micro")
        macro = multiclass_accuracy(predicted, labels, classes, average="macro")
        kappa = multiclass_cohen_kappa(predicted, labels, classes)
        assert found["oa"] == pytest.approx(micro.item(), abs=1e-6)
        assert found["aa"] == pytest.approx(macro.item(), abs=1e-6)
        assert found["kappa"] == pytest.approx(kappa.item(), abs=1e-6)


def test_scores_of_limits():
    one_class = scores(np.array([[5, 0], [0, 0]]))
    assert one_class == {
        "oa": 1.0,
        "aa": 1.0,
        "kappa": 0.0,
    }  # no agreement by skill
    assert scores(np.eye(3))["kappa"] == 1.0
