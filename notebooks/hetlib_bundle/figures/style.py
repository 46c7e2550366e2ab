"""Records and values in, figures out, at the size of an IEEE column; the widgets call the same functions."""

import base64
import io
from contextlib import AbstractContextManager
from typing import Any

import lazy_loader as lazy
import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

sns: Any = lazy.load("seaborn")  # which takes a second, and few notebooks draw with it


mpl.rcParams["pdf.fonttype"] = 42  # read when a figure is saved: TrueType, which IEEE asks for


# One colour (Okabe and Ito), marker and line a strategy, in every figure.
STYLES: dict[str, dict[str, Any]] = {
    "single": {"color": "#000000", "marker": "o", "linestyle": "-"},
    "equal": {"color": "#0072B2", "marker": "s", "linestyle": "--"},
    "uneven-plain": {"color": "#D55E00", "marker": "^", "linestyle": "-."},
    "uneven-plain-retuned": {
        "color": "#E69F00",
        "marker": "v",
        "linestyle": (0, (3, 1, 1, 1, 1, 1)),
    },
    "speed-weighted": {"color": "#CC79A7", "marker": "X", "linestyle": ":"},
    "balanced": {"color": "#009E73", "marker": "D", "linestyle": (0, (5, 1))},
    "fastest-only": {"color": "#56B4E9", "marker": "P", "linestyle": (0, (1, 1))},
}


def ieee_style(columns: int = 1) -> AbstractContextManager[None]:
    """Return a context with the letter's type: one column (3.5 in) or two (7.16 in), 8 pt serif, STIX maths."""
    if columns not in (1, 2):
        raise ValueError(f"`columns` is {columns!r}; allowed are 1 and 2.")
    width = {1: 3.5, 2: 7.16}[columns]
    settings: dict[Any, Any] = {"figure.figsize": (width, 0.62 * width)}
    settings |= {
        "font.family": "STIXGeneral",
        "mathtext.fontset": "stix",
        "font.size": 8,
        "hatch.linewidth": 0.4,
    }
    settings |= dict.fromkeys(
        ("axes.titlesize", "axes.labelsize", "legend.fontsize", "figure.labelsize"), 8
    )
    settings |= dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 7.5)
    settings |= dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6)
    settings |= {"lines.linewidth": 1.1, "lines.markersize": 4, "legend.frameon": False}
    settings |= {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.linewidth": 0.4,
        "grid.color": "#D9D9D9",
    }
    return mpl.rc_context(
        settings | {"axes.axisbelow": True, "legend.handlelength": 2.8, "legend.columnspacing": 1.2}
    )


class RepeatableLayout(ConstrainedLayoutEngine):
    """A constrained layout with places to a millionth of the figure.

    The solver behind it visits its variables in the order of their addresses, so that the last bit
    of a place differs between processes; where that decides which way a pixel is rounded, so would
    the picture.
    """

    def execute(self, fig: Any) -> None:
        """Lay out the figure."""
        super().execute(fig)
        for part in fig.subfigs:
            part.bbox_relative.set_points(part.bbox_relative.get_points().round(6))
        for axes in fig.axes:
            laid_out = axes.get_in_layout()
            axes.set_position(Bbox(axes.get_position(original=True).get_points().round(6)))
            axes.set_in_layout(laid_out)  # which setting a position ends


class _Picture(Figure):
    """A figure that a notebook shows whatever its backend is."""

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=200)
        text = base64.b64encode(buffer.getvalue()).decode()
        return {"image/png": text}, {"image/png": {"width": round(self.get_figwidth() * 130)}}


def new_figure(height: float) -> Figure:
    return _Picture(figsize=(mpl.rcParams["figure.figsize"][0], height), layout=RepeatableLayout())
