"""Sliders in a notebook that somebody looks at, nothing in one that runs by itself."""

import os
from collections.abc import Mapping
from typing import Any

import psutil


def interact(labels: Mapping[str, str] | None = None, **controls: Any) -> Any:
    """Return a decorator that draws a function beside its controls, or in a batch run one that draws nothing.

    There widgets are of no use, and nbclient at times waits for ever on them
    (jupyter/nbclient#312).

    Args:
        labels: What to write at a control, with its unit; by default its name.
        controls: What `ipywidgets.interact` takes.
    """
    parent = psutil.Process().parent()
    command = " ".join(parent.cmdline()) if parent else ""
    if "HETLIB_BATCH" in os.environ or "papermill" in command or "nbconvert" in command:
        return lambda function: function
    import ipywidgets
    from IPython.display import display

    def draw(function: Any) -> Any:
        # show what the function returns
        widget = ipywidgets.interactive(function, {"auto_display": True}, **controls)
        made = [child for child in widget.children if hasattr(child, "description")]
        written = [(labels or {}).get(control.description, control.description) for control in made]
        wide = max(map(len, written)) * 0.6 + 1  # em
        for control, label in zip(made, written, strict=True):
            control.description = label
            control.style.description_width, control.layout.width = (
                f"{wide:.1f}em",
                f"{wide + 24:.1f}em",
            )
        function.widget = widget
        display(widget)
        return function

    return draw
