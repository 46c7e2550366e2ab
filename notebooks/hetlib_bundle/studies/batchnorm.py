"""Whose batch statistics: what is compared, and how far running statistics are off afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

import hetlib
from hetlib.datasets import ImageDataset
from hetlib.training.setup import build_network
from hetlib_bundle.claims.verdict import interval, verdict

Row = dict[str, Any]  # values by name

REFERENCE = "balanced"  # the kind that the others are compared with
WITHOUT = "GroupNorm"  # the kind without running statistics


def kinds(shares: Sequence[int]) -> dict[str, Row]:
    """Return the fields of an `Experiment` that differ, by kind of statistics.

    Args:
        shares: Samples of each replica in a step, the largest first: rank 0 is the one whose
            running statistics DDP keeps.
    """
    given = tuple(shares)
    turned = given[::-1]
    return {
        "local, rank 0 large": {"model_options": {"norm": "batch"}, "shares": given},
        "local, rank 0 small": {"model_options": {"norm": "batch"}, "shares": turned},
        "pooled": {"model_options": {"norm": "pooled"}, "shares": given},
        "balanced": {"model_options": {"norm": "balanced"}, "shares": given},
        "GroupNorm": {"model_options": {"norm": "group"}, "shares": given},
    }


def running_errors(
    name: str,
    experiment: hetlib.Experiment,
    weights: Mapping[str, np.ndarray],
    data: ImageDataset,
) -> pd.DataFrame:
    """Compare running statistics after training with those of the whole training set.

    Both are taken under the trained weights.

    Args:
        name: Of the kind of statistics.
        experiment: What was trained.
        weights: The trained weights and buffers by name.
        data: The training set.

    Returns:
        One row a BatchNorm layer: ``statistics``, ``layer``, the error of the ``mean`` (root mean
        square over channels, in standard deviations) and of the ``variance`` (the same, relative).
    """
    network = build_network(experiment, data)
    trained = {key: torch.from_numpy(value) for key, value in weights.items()}
    network.load_state_dict(trained)
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [_statistics(layer) for layer in layers]
    _pass_everything(network, layers, data)
    rows: list[Row] = []
    for layer, before in zip(layers, kept, strict=True):
        mean, variance = _statistics(layer)
        off = (before.mean - mean).square() / variance
        ratio = before.variance / variance - 1
        row = {
            "statistics": name,
            "layer": len(rows) + 1,
            "mean": off.mean().sqrt().item(),
            "variance": ratio.square().mean().sqrt().item(),
        }
        rows.append(row)
    return pd.DataFrame(rows)


class _Statistics(NamedTuple):
    """Running mean and variance of a layer, (channels,)."""

    mean: torch.Tensor
    variance: torch.Tensor


def _statistics(layer: nn.BatchNorm2d) -> _Statistics:
    """Return a copy of a layer's running statistics."""
    state = layer.state_dict()
    return _Statistics(
        state["running_mean"].clone(),
        state["running_var"].clone(),
    )


def _pass_everything(
    network: nn.Module,
    layers: Sequence[nn.BatchNorm2d],
    data: ImageDataset,
) -> None:
    """Leave the statistics of one batch of all data in the layers."""
    for layer in layers:
        layer.momentum = 1.0  # the last batch alone
    images, _ = data.gather(range(len(data)))
    with torch.no_grad():
        network.train()(images)


def score_rows(
    oa: pd.Series,
    names: Sequence[str],
    margin: float,
) -> list[Row]:
    """Return one row a kind: its test OA, and whether it is within a margin of the balanced one.

    Args:
        oa: Test OA in percent by kind and seed.
        names: The kinds, in the order of the table.
        margin: Largest difference in percentage points that counts as none.

    Returns:
        ``statistics``, ``OA`` and half its interval; ``word``, ``effect``, ``low`` and ``high`` of
        the paired difference, None for the reference.
    """
    reference = oa.loc[REFERENCE]
    rows: list[Row] = []
    for name in names:
        own = oa.loc[name]
        mean, half = interval(own)
        row = {"statistics": name, "OA": mean, "OA ±": half}
        if name == REFERENCE:
            row |= dict.fromkeys(("word", "effect", "low", "high"))
        else:
            judged = verdict(own - reference, margin, "within")
            row |= judged._asdict()
        rows.append(row)
    return rows
