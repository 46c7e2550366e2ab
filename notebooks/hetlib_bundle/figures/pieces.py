"""What more than one figure draws: panels, rows with names, seeds and their mean, a legend."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.figures.style import Look

ABOVE: Literal["outside upper center"] = "outside upper center"


def panels_in_a_row(figure: Figure, count: int, **options: Any) -> np.ndarray:
    """Return panels side by side, (count,), also where there is only one.

    Args:
        figure: An empty one.
        count: Of the panels.
        options: Of `Figure.subplots`, such as ``sharey``.
    """
    return figure.subplots(1, count, squeeze=False, **options)[0]


def panels_in_a_column(figure: Figure, count: int, **options: Any) -> np.ndarray:
    """Return panels one below the other, (count,), also where there is only one.

    Args:
        figure: An empty one.
        count: Of the panels.
        options: Of `Figure.subplots`, such as ``sharex``.
    """
    return figure.subplots(count, 1, squeeze=False, **options)[:, 0]


def hide_frame(axes: Axes) -> None:
    """Leave a picture alone in its panel: no ticks, no lines around it.

    Args:
        axes: The panel.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def plain_numbers(axis: Axis) -> None:
    """Write an axis's ticks as plain numbers, which a log scale would write as powers.

    Args:
        axis: With its scale set; another one would bring its own ticks again.
    """
    axis.set_major_formatter("{x:g}")
    if axis.get_scale() == "log":
        axis.set_minor_formatter(_PlainBetween())


class _PlainBetween(LogFormatter):
    """Numbers at ticks between powers of ten, where an axis has few powers; see `plain_numbers`."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        has_number = super().__call__(x, pos) != ""
        return f"{x:g}" if has_number else ""


def list_rows(axes: Axes, names: Sequence[str], room: float = 0.5) -> None:
    """Name the rows at y = 0, 1, ..., the first one at the top.

    Args:
        axes: The panel.
        names: Of the rows.
        room: Above the first row and below the last, in rows.
    """
    last = len(names) - 1
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(last + room, -room)


def draw_seeds(axes: Axes, values: np.ndarray, y: float, **look: Any) -> None:
    """Draw a tick for the value of each seed.

    Args:
        axes: The panel.
        values: One a seed, (seeds,).
        y: Height of the ticks.
        look: Of them, for `Axes.plot`.
    """
    heights = np.full(len(values), y)
    axes.plot(values, heights, "|", **look)


def draw_mean(axes: Axes, values: np.ndarray, y: float, look: Look, **options: Any) -> None:
    """Draw the mean over seeds and its 95 % t-interval.

    Args:
        axes: The panel.
        values: One a seed, (seeds,); a single one has no interval.
        y: Height of the mark.
        look: The strategy's.
        options: Further ones of `Axes.errorbar`.
    """
    mean, half = interval(values)
    bar = np.nan_to_num(half, posinf=0.0)
    mark = {"fmt": look["marker"], "color": look["color"], "capsize": 2}
    axes.errorbar(mean, y, xerr=bar, **mark, **options)


def entries_of(axes: Axes) -> dict[str, Artist]:
    """Return what there is for a legend, by label.

    Args:
        axes: The panel, with all drawn.
    """
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def legend_above(
    figure: Figure,
    columns: int,
    entries: Mapping[str, Artist] | None = None,
    title: str | None = None,
) -> None:
    """Draw one legend for all panels, above them.

    Args:
        figure: With its panels drawn.
        columns: Entries side by side.
        entries: What is explained, by label; all that has a label, if not given.
        title: Over the entries.
    """
    if entries is None:
        figure.legend(loc=ABOVE, ncols=columns, title=title)
        return
    labels = list(entries)
    handles = list(entries.values())
    figure.legend(handles, labels, loc=ABOVE, ncols=columns, title=title)
