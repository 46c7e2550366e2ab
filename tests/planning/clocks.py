"""Clocks of machines that do not exist, so that a test knows every time."""

from types import SimpleNamespace

import pytest


class Clock:
    """A clock that moves when it is told to.

    Args:
        start: Its seconds at first.
    """

    def __init__(self, start: float = 100.0) -> None:
        self.now = start

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now

    def compute(self, seconds: float) -> float:
        """Let work take so many seconds of a processor; return what the clock says it took."""
        self.now += seconds
        return seconds

    def replace(self, monkeypatch: pytest.MonkeyPatch, module: object) -> None:
        """Put this clock in place of that of a module that imports `time`."""
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=self))


class QuotaClock(Clock):
    """Of a process in a container that gets so much of each period, at once, and then waits.

    Args:
        quota: Part of the time that it gets.
        period: Seconds.
    """

    def __init__(self, quota: float, period: float = 0.1) -> None:
        super().__init__()
        self.quota = quota
        self.period = period
        self.used = 0.0
        self.ends = self.now + period

    def compute(self, seconds: float) -> float:
        begin = self.now
        while seconds > 0:
            if self.now >= self.ends:
                periods = (self.now - self.ends) // self.period + 1
                self.ends += periods * self.period
                self.used = 0.0
            piece = min(seconds, self.quota * self.period - self.used)
            self.used += piece
            self.now += piece
            seconds -= piece
            if seconds > 0:
                self.now = self.ends
        return self.now - begin
