"""Weights of samples, and the batch that they leave."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle.figures.pieces import legend_above, plain_numbers
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure

ROOM = 1.12  # the axis of the effective batch ends here times the global batch


def weight_figure(shares: Sequence[int], speeds: Sequence[float]) -> Figure:
    """Draw the weight of one sample in the gradient, by the replica that holds it.

    Args:
        shares: Samples of each replica.
        speeds: Of each replica, for the weights by speed.
    """
    with ieee_style():
        figure = new_figure(2.3)
        axes = figure.add_subplot()
        ranks = range(len(shares))
        for name in ("balanced", "uneven-plain", "speed-weighted"):
            weights = replica_weights(shares, STRATEGIES[name].weighting, speeds)
            of_sample = weights / shares * sum(shares)
            axes.plot(ranks, of_sample, label=name, **STYLES[name])
        axes.set_xlabel("Share of the replica that holds the sample (samples)")
        axes.set_ylabel("Weight of the sample (1 = $1/B$)")
        axes.set_yscale("log")
        axes.set_xticks(ranks, [str(share) for share in shares])
        plain_numbers(axes.yaxis)
        axes.grid(axis="y")
        legend_above(figure, 3)
        return figure


def effective_batch_figure(batch: int, drawn: pd.DataFrame | None = None) -> Figure:
    """Draw the effective batch of two replicas against the smaller share.

    Args:
        batch: The global batch, in samples.
        drawn: Effective batches from random draws, as marks: ``share``, ``strategy`` and
            ``effective``.
    """
    with ieee_style():
        figure = new_figure(2.3)
        axes = figure.add_subplot()
        for name in ("balanced", "uneven-plain"):
            _draw_formula(axes, name, batch)
            if drawn is not None:
                _draw_marks(axes, name, drawn[drawn.strategy == name])
        axes.set_xlabel("Share of the slower replica (samples)")
        axes.set_ylabel("Effective batch (samples)")
        axes.set_xlim(0, None)
        axes.set_ylim(0, ROOM * batch)
        axes.grid(axis="y")
        legend_above(figure, 2)
        return figure


def _draw_formula(axes: Axes, name: str, batch: int) -> None:
    smaller = range(1, batch // 2 + 1)
    effective = []
    for share in smaller:
        pair = (batch - share, share)
        weights = replica_weights(pair, STRATEGIES[name].weighting)
        effective.append(effective_batch(pair, weights))

    look = STYLES[name]
    line = {"color": look["color"], "linestyle": look["linestyle"]}
    axes.plot(smaller, effective, label=f"{name}, formula", **line)


def _draw_marks(axes: Axes, name: str, drawn: pd.DataFrame) -> None:
    look = STYLES[name]
    label = f"{name}, drawn"
    mark = {"marker": look["marker"], "color": look["color"], "linestyle": ""}
    axes.plot(drawn.share, drawn.effective, label=label, **mark)
