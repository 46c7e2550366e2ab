"""Weights of samples, and the batch that they leave."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from hetlib.balanced.weights import effective_batch, replica_weights
from hetlib.training.strategies import STRATEGIES
from hetlib_bundle.figures.style import STYLES, ieee_style, new_figure


def weight_figure(shares: Sequence[int], speeds: Sequence[float]) -> Figure:
    """Draw the weight of one sample in the gradient, by the replica that holds it, under each strategy; 1 is 1/B."""
    with ieee_style():
        figure = new_figure(2.3)
        axes = figure.add_subplot(xlabel="Share of the replica that holds the sample (samples)")
        for name in ("balanced", "uneven-plain", "speed-weighted"):
            weights = (
                replica_weights(shares, STRATEGIES[name].weighting, speeds) / shares * sum(shares)
            )
            axes.plot(range(len(shares)), weights, label=name, **STYLES[name])
        axes.set(ylabel="Weight of the sample (1 = $1/B$)", yscale="log")
        axes.set_xticks(range(len(shares)), [str(share) for share in shares])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=3)
        return figure


def effective_batch_figure(batch: int, drawn: pd.DataFrame | None = None) -> Figure:
    """Draw the effective batch of two replicas against the smaller share; ``drawn``: share, strategy, effective."""
    with ieee_style():
        figure = new_figure(2.3)
        axes = figure.add_subplot(
            xlabel="Share of the slower replica (samples)", ylabel="Effective batch (samples)"
        )
        pairs = [(batch - n, n) for n in range(1, batch // 2 + 1)]
        for name, weighting in (("balanced", "samples"), ("uneven-plain", "mean")):
            look, values = (
                STYLES[name],
                [effective_batch(pair, replica_weights(pair, weighting)) for pair in pairs],
            )
            label = f"{name}, formula"
            axes.plot(
                [n for _, n in pairs],
                values,
                color=look["color"],
                linestyle=look["linestyle"],
                label=label,
            )
            if drawn is not None:
                own = drawn[drawn.strategy == name]
                axes.plot(
                    own.share,
                    own.effective,
                    look["marker"],
                    color=look["color"],
                    label=f"{name}, drawn",
                )
        axes.set(xlim=(0, None), ylim=(0, 1.12 * batch))
        axes.grid(axis="y")
        figure.legend(loc="outside upper center", ncols=2)
        return figure
