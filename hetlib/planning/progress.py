"""A bar that runs against a budget of seconds, where somebody looks."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_EVERY = 0.5  # seconds: often enough to look at, seldom enough not to be timed


@contextlib.contextmanager
def spending(title: str, seconds: float, shown: bool | None) -> Iterator[None]:
    """Show the seconds spent while the block runs.

    Without tqdm there is no bar.

    Args:
        title: What stands before the bar.
        seconds: The budget, where the bar ends.
        shown: Whether there is a bar; ``None``: on a terminal and in a notebook that is no batch
            run.

    Yields:
        Nothing.
    """
    if shown is None:
        shown = _somebody_looks()
    bars = None
    if shown:
        bars = _bars()
    if bars is None:
        yield
        return

    layout = f"{title}: {{percentage:3.0f}}%|{{bar}}| {{elapsed_s:.0f}} of {seconds:g} s"
    ended = threading.Event()
    with (
        bars(total=seconds, leave=False, bar_format=layout) as bar,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(_follow, bar, seconds, ended)
        try:
            yield
        finally:
            ended.set()


def _somebody_looks() -> bool:
    in_a_notebook = "ipykernel" in sys.modules
    in_a_batch = "HETLIB_BATCH" in os.environ
    return not in_a_batch and (in_a_notebook or sys.stderr.isatty())


def _bars() -> Any:
    """Return tqdm's class of bars, for a notebook or a terminal; ``None`` where it is not there."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm


def _follow(bar: Any, seconds: float, ended: threading.Event) -> None:
    """Move a bar with the clock until the event."""
    while not ended.wait(_EVERY):
        bar.n = min(bar.n + _EVERY, seconds)
        bar.refresh()
