"""Checks that need a GPU: one module a check, each with ``run(setting)`` that yields results.

``make gpu`` runs them all with the Python at hand, which needs torch and numpy alone. Without a GPU
it is a dry run: the same code at tiny sizes, with the CPU in place of the GPU.
"""

import math
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["CHECKS", "Result", "Setting", "attempt", "compare", "judge", "skipped"]

# In the order in which they run, and the part of the time that each may take at most.
CHECKS = {
    "exactness": 0.15,
    "nccl": 0.15,
    "planning": 0.2,
    "step": 0.15,
    "virtual": 0.15,
    "accuracy": 0.2,
}

PASS = "pass"
FAIL = "fail"
SKIPPED = "skipped"


@dataclass(frozen=True)
class Setting:
    """Where the checks run.

    Attributes:
        gpus: That torch sees; 0 in a dry run.
        cores: Of the processor that this process may use.
    """

    gpus: int
    cores: int

    @property
    def dry(self) -> bool:
        """Whether the CPU stands for the GPU."""
        return self.gpus == 0

    @property
    def fast(self) -> str:
        """The GPU, or what stands for it."""
        return "cpu" if self.dry else "cuda:0"

    def choose(self, real: int, dry: int) -> int:
        """Return the size of a check on a GPU or in a dry run."""
        return dry if self.dry else real


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        check: The module that made it.
        compared: What was compared with what.
        value: What came out; NaN where nothing did.
        limit: What is allowed, in words; empty where there is no limit.
        verdict: "pass", "fail" or "skipped".
        seconds: That it took.
        note: Why it failed or was skipped, and what else there is to say.
    """

    check: str
    compared: str
    value: float
    limit: str
    verdict: str
    seconds: float
    note: str = ""


def compare(
    check: str,
    compared: str,
    measure: Callable[[], float],
    *,
    at_most: float,
    note: str = "",
) -> Result:
    """Measure one number and judge it; an error of any kind is a failure with its last line.

    Args:
        check: Name of the check.
        compared: What is compared.
        measure: Returns the number.
        at_most: The largest that passes.
        note: To say beside it.
    """
    return attempt(
        check, compared, lambda: judge(check, compared, measure(), at_most=at_most, note=note)
    )


def attempt(check: str, compared: str, make: Callable[[], Result]) -> Result:
    """Return what is made, with the seconds that it took, or a failure that names the error."""
    begin = time.perf_counter()
    try:
        made = make()
    except Exception as error:  # of any kind: the other checks go on
        traceback.print_exc()
        made = Result(check, compared, math.nan, "", FAIL, 0.0, last_line(error))
    seconds = time.perf_counter() - begin
    return Result(
        made.check, made.compared, made.value, made.limit, made.verdict, seconds, made.note
    )


def judge(
    check: str,
    compared: str,
    value: float,
    *,
    at_most: float | None,
    judged: bool = True,
    note: str = "",
) -> Result:
    """Return a result whose seconds are not known yet.

    Args:
        check: Name of the check.
        compared: What was compared.
        value: What came out.
        at_most: The largest that passes; None: there is no limit.
        judged: Whether the limit counts: times of a dry run say nothing.
        note: To say beside it.
    """
    limit = "" if at_most is None else f"<= {at_most:g}"
    if at_most is None:
        reason = note or "for comparison, no limit"
        return Result(check, compared, value, limit, SKIPPED, 0.0, reason)
    if not judged:
        reason = "dry run: times are not judged"
        return Result(check, compared, value, limit, SKIPPED, 0.0, reason)
    verdict = PASS if value <= at_most else FAIL  # NaN is no pass
    return Result(check, compared, value, limit, verdict, 0.0, note)


def skipped(check: str, compared: str, reason: str) -> Result:
    """Return the result of what cannot be checked here."""
    return Result(check, compared, math.nan, "", SKIPPED, 0.0, reason)


def last_line(error: BaseException) -> str:
    """Return an error in one line: of one in a replica, the last line of its traceback."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"


def in_turn(names: list[str], turn: int) -> Iterator[str]:
    """Yield names so that each one begins as often as the others: caches are as the last left them.

    Args:
        names: Of what takes turns.
        turn: Number of the turn.
    """
    for place in range(len(names)):
        yield names[(turn + place) % len(names)]
