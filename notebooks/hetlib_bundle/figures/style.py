"""The looks of the letter's figures, at the size of an IEEE column.

Every figure is a function of records or values alone; the widgets call the same functions. Here is
what they share: a look for each strategy, type and sizes, and a layout that repeats.
"""

import base64
import io
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from hetlib.training.strategies import STRATEGIES

Look = dict[str, Any]  # keywords of `Axes.plot` or `Axes.barh`

mpl.rcParams["pdf.fonttype"] = 42  # read when a figure is saved: TrueType, which IEEE asks for

# Okabe and Ito's colours, which readers with a colour deficiency tell apart.
BLACK = "#000000"
BLUE = "#0072B2"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

GREY = "#8C8C8C"  # lines beside the strategies'
PALE_GREY = "#E6E6E6"  # areas behind them

# Lines beside matplotlib's own: lengths of dashes and gaps.
LONG_DASHES = (0, (5, 1))
DENSE_DOTS = (0, (1, 1))
DASH_DOT_DOT = (0, (3, 1, 1, 1, 1, 1))


def _look(color: str, marker: str, linestyle: Any) -> Look:
    return {"color": color, "marker": marker, "linestyle": linestyle}


# One colour, marker and line a strategy, in every figure.
STYLES = {
    "single": _look(BLACK, "o", "-"),
    "equal": _look(BLUE, "s", "--"),
    "uneven-plain": _look(VERMILION, "^", "-."),
    "uneven-plain-retuned": _look(ORANGE, "v", DASH_DOT_DOT),
    "speed-weighted": _look(PURPLE, "X", ":"),
    "balanced": _look(GREEN, "D", LONG_DASHES),
    "fastest-only": _look(SKY_BLUE, "P", DENSE_DOTS),
}

# For strategies that have no look of their own yet. The numbers of colours (wine, olive, indigo,
# sand; Tol's muted ones), markers and lines have no common factor: the first three looks differ in
# all, the first 4 x 5 x 3 in something.
SPARE_COLOURS = ("#882255", "#999933", "#332288", "#DDCC77")
SPARE_MARKERS = ("*", "p", "<", "h", ">")
SPARE_LINES = (
    (0, (4, 1, 1, 1)),
    (0, (2, 2)),
    (0, (7, 2, 2, 2)),
)

# What a replica does in a step, as bars.
PHASE_LOOKS: dict[str, Look] = {
    "compute": {"color": BLUE},
    "wait": {"color": PALE_GREY, "hatch": "////", "edgecolor": GREY, "linewidth": 0},
    "communicate": {"color": ORANGE},
    "update": {"color": BLACK},
}

WIDTHS = {1: 3.5, 2: 7.16}  # of a figure over one and two columns of the letter, in inches

GOLDEN = 0.62  # height over width, where a figure does not say its height

TYPE: dict[Any, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 8,
    "figure.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
}

STROKES: dict[Any, Any] = {
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "hatch.linewidth": 0.4,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": "#D9D9D9",
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.columnspacing": 1.2,
}


def looks_of(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each strategy, also for one that this file does not know.

    A strategy of hetlib's table has the same look in every figure; another one takes the next
    spare look.

    Args:
        names: Of strategies; repeated ones count once.

    Returns:
        The looks in the order in which figures list them: that of `STYLES`, then that of hetlib's
        table, then that of ``names``.
    """
    wanted = list(dict.fromkeys(names))
    found = {name: look for name, look in STYLES.items() if name in wanted}

    every = dict.fromkeys([*STRATEGIES, *wanted])
    strangers = [name for name in every if name not in STYLES]
    for number, name in enumerate(strangers):
        if name in wanted:
            found[name] = _spare_look(number)
    return found


def _spare_look(number: int) -> Look:
    color = SPARE_COLOURS[number % len(SPARE_COLOURS)]
    marker = SPARE_MARKERS[number % len(SPARE_MARKERS)]
    linestyle = SPARE_LINES[number % len(SPARE_LINES)]
    return _look(color, marker, linestyle)


def shades(count: int) -> list[Any]:
    """Return colours from light to dark, none of them a strategy's.

    Args:
        count: How many.
    """
    import seaborn as sns  # takes a second, and few notebooks draw with it

    return list(sns.color_palette("crest", count))


def ieee_style(columns: int = 1) -> AbstractContextManager[None]:
    """Return a context with the letter's type: 8 pt serif, STIX maths.

    Args:
        columns: 1 or 2 of the letter's, 3.5 and 7.16 in wide.

    Raises:
        ValueError: Another number of columns.
    """
    if columns not in WIDTHS:
        raise ValueError(f"`columns` is {columns!r}; allowed are 1 and 2.")
    width = WIDTHS[columns]
    size = {"figure.figsize": (width, GOLDEN * width)}
    return mpl.rc_context(TYPE | STROKES | size)


def figure_width() -> float:
    """Return the width of a figure in inches, as the style says that holds now."""
    width, _ = mpl.rcParams["figure.figsize"]
    return float(width)


class RepeatableLayout(ConstrainedLayoutEngine):
    """A constrained layout with places to a millionth of the figure.

    The solver behind it visits its variables in the order of their addresses, so that the last bit
    of a place differs between processes; where that decides which way a pixel is rounded, so would
    the picture.
    """

    def execute(self, fig: Any) -> None:
        """Lay out the figure.

        Args:
            fig: The figure.
        """
        super().execute(fig)
        for part in fig.subfigs:
            place = part.bbox_relative.get_points()
            part.bbox_relative.set_points(place.round(6))
        for axes in fig.axes:
            place = axes.get_position(original=True).get_points()
            laid_out = axes.get_in_layout()
            axes.set_position(Bbox(place.round(6)))
            axes.set_in_layout(laid_out)  # which setting a position ends


class _Picture(Figure):
    """A figure that a notebook shows whatever its backend is."""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=200)
        text = base64.b64encode(buffer.getvalue()).decode()
        width = round(self.get_figwidth() * 130)
        return {"image/png": text}, {"image/png": {"width": width}}


def new_figure(height: float) -> Figure:
    """Return an empty figure as wide as the style says that holds now.

    Args:
        height: In inches.
    """
    size = (figure_width(), height)
    return _Picture(figsize=size, layout=RepeatableLayout())
