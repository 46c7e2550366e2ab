"""Sliders in a notebook that somebody looks at, nothing in one that runs by itself."""

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psutil

Drawn = TypeVar("Drawn", bound=Callable[..., Any])

# Width of a letter, and of a control without its label, in em.
LETTER = 0.6
CONTROL = 24

BATCH_TOOLS = ("papermill", "nbconvert")


def interact(labels: Mapping[str, str] | None = None, **controls: Any) -> Callable[[Drawn], Drawn]:
    """Return a decorator that draws a function beside its controls.

    In a batch run it draws nothing: widgets are of no use there, and nbclient at times waits for
    ever on them (jupyter/nbclient#312).

    Args:
        labels: What to write at a control, with its unit; by default its name.
        controls: What `ipywidgets.interact` takes.
    """

    def draw(function: Drawn) -> Drawn:
        if not in_batch():
            _show(function, labels or {}, controls)
        return function

    return draw


def in_batch() -> bool:
    """Say whether the notebook runs by itself: for the bundle, or under a tool that executes it."""
    if "HETLIB_BATCH" in os.environ:
        return True
    parent = psutil.Process().parent()
    command = " ".join(parent.cmdline()) if parent else ""
    return any(tool in command for tool in BATCH_TOOLS)


def _show(
    function: Callable[..., Any], labels: Mapping[str, str], controls: Mapping[str, Any]
) -> None:
    """Show what a function returns, below its controls; the widget becomes its attribute."""
    import ipywidgets
    from IPython.display import display

    widget = ipywidgets.interactive(function, {"auto_display": True}, **controls)
    _label(widget, labels)
    function.widget = widget  # type: ignore[attr-defined]
    display(widget)


def _label(widget: Any, labels: Mapping[str, str]) -> None:
    """Write the labels at the controls, all in a column as wide as the longest."""
    controls = [child for child in widget.children if hasattr(child, "description")]
    for control in controls:
        control.description = labels.get(control.description, control.description)

    longest = max(len(control.description) for control in controls)
    wide = longest * LETTER + 1
    for control in controls:
        control.style.description_width = f"{wide:.1f}em"
        control.layout.width = f"{wide + CONTROL:.1f}em"
