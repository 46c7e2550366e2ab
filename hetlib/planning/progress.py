"""A bar that runs against a budget of seconds, where somebody looks."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tqdm.auto import tqdm


@contextlib.contextmanager
def spending(title: str, seconds: float, shown: bool | None) -> Iterator[None]:
    """Show the seconds spent while the block runs; by default on a terminal and in a notebook that is no batch run."""
    if shown is None:
        shown = "HETLIB_BATCH" not in os.environ and (
            "ipykernel" in sys.modules or sys.stderr.isatty()
        )
    layout, ended = (
        f"{title}: {{percentage:3.0f}}%|{{bar}}| {{elapsed_s:.0f}} of {seconds:g} s",
        threading.Event(),
    )
    with (
        tqdm(total=seconds, disable=not shown, leave=False, bar_format=layout) as bar,
        ThreadPoolExecutor(1) as pool,
    ):

        def follow() -> None:
            # often enough to look at, seldom enough not to be timed
            while not (bar.disable or ended.wait(0.5)):
                bar.n = min(bar.n + 0.5, seconds)
                bar.refresh()

        pool.submit(follow)
        try:
            yield
        finally:
            ended.set()
