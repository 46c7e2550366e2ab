"""Kernels that this process starts, and how they end."""

import asyncio

import pytest
from jupyter_client.kernelspec import KernelSpec

from hetlib_bundle.running.kernels import WatchedKernelManager


class Counting(WatchedKernelManager):
    """Counts the signals that its kernel gets."""

    signals = 0
    has_kernel = True
    kernel_spec = KernelSpec()

    async def _async_signal_kernel(self, signum: int) -> None:
        self.signals += 1


@pytest.mark.parametrize(("shutting_down", "expected"), [(False, 1), (True, 0)])
def test_a_kernel_that_is_to_end_is_not_interrupted_before(
    shutting_down: bool, expected: int
) -> None:
    manager = Counting()
    manager.shutting_down = shutting_down
    asyncio.run(manager.interrupt_kernel())
    assert manager.signals == expected
