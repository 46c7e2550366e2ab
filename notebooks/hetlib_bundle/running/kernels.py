"""The kernels of this process, so that an interrupted run can end them at once."""

import contextlib
import os
import signal
import threading
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager

_lock = threading.Lock()
_running: set[int] = set()


class WatchedKernelManager(AsyncKernelManager):
    """Starts a kernel, and notes its process."""

    async def _async_post_start_kernel(self, **options: Any) -> None:
        await super()._async_post_start_kernel(**options)
        process = getattr(self.provisioner, "process", None)
        if process is not None:
            with _lock:
                _running.add(process.pid)

    post_start_kernel = _async_post_start_kernel

    async def _async_interrupt_kernel(self) -> None:
        # One that is about to be asked to end, and has nothing to do, would print the interrupt.
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    interrupt_kernel = _async_interrupt_kernel


def kill_kernels() -> None:
    """Kill the kernels that run, and what they started."""
    with _lock:
        pids = sorted(_running & {child.pid for child in psutil.Process().children()})
        _running.clear()
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            family = psutil.Process(pid).children(recursive=True)
            if hasattr(os, "killpg"):
                os.killpg(pid, signal.SIGKILL)  # a kernel is the first of its group
            for process in [psutil.Process(pid), *family]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
