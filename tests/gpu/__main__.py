"""Run the checks that need a GPU, print a table, write it as CSV.

``python -m tests.gpu [--dry] [--minutes 10] [--only CHECK ...] [--out FILE]``

Each check runs in a process of its own with a time-out: one that fails, dies or hangs does not stop
the others.
"""

import argparse
import contextlib
import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from hetlib.environment import cores, environment
from hetlib.files import write_text
from tests.gpu import CHECKS, FAIL, PASS, SKIPPED, Result, Setting, skipped

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["check", "compared", "value", "limit", "verdict", "seconds", "note"]
LEAST = 15.0  # seconds without which no check is begun


def main(arguments: Sequence[str]) -> int:
    """Return 1 if a check failed, else 0."""
    given = parsed(arguments)
    gpus = 0
    if torch.cuda.is_available() and not given.dry:
        gpus = torch.cuda.device_count()
    setting = Setting(gpus, cores())
    print(heading(setting), flush=True)
    end = time.monotonic() + 60 * given.minutes
    results: list[Result] = []
    for check in given.only or CHECKS:
        left = end - time.monotonic()
        most = min(left, 60 * given.minutes * CHECKS[check])
        if left < LEAST:
            found = [skipped(check, "all", f"no time left of {given.minutes:g} minutes")]
        else:
            found = run_apart(command(check), check, setting, most)
        show(found)
        results += found
        write(results, given.out)
    count = dict.fromkeys((PASS, FAIL, SKIPPED), 0)
    for result in results:
        count[result.verdict] += 1
    print(f"{count[PASS]} passed, {count[FAIL]} failed, {count[SKIPPED]} skipped: {given.out}")
    return int(count[FAIL] > 0)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description="Checks for a GPU.")
    parser.add_argument("--dry", action="store_true", help="the CPU stands for the GPU, tiny sizes")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all checks (default 10)")
    parser.add_argument("--only", nargs="+", choices=list(CHECKS), help="these checks")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu" / "checks.csv")
    given = parser.parse_args(arguments)
    if not given.minutes > 0:
        parser.error(f"--minutes is {given.minutes:g}; it must be a number > 0")
    return given


def heading(setting: Setting) -> str:
    """Return on what the checks run."""
    known = environment()
    gpus = [torch.cuda.get_device_name(number) for number in range(setting.gpus)]
    where = f"dry run: CPU stands for the GPU, timings are not judged; {known['processor']}"
    if not setting.dry:
        where = f"{', '.join(gpus)}; CUDA {torch.version.cuda}; {known['processor']}"
    return f"{where}, {setting.cores} cores; Python {known['python']}, torch {known['torch']}"


def command(check: str) -> list[str]:
    return [sys.executable, "-m", "tests.gpu.child", check]


def run_apart(begin: Sequence[str], check: str, setting: Setting, seconds: float) -> list[Result]:
    """Run a check in a process of its own, and return what it found.

    Args:
        begin: The command, without the file of results and the setting.
        check: Its name.
        setting: Where it runs.
        seconds: After which it and all that it has started are killed.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hetlib-gpu-") as folder:
        file = Path(folder, "results")
        file.touch()
        surroundings = {**os.environ, "HETLIB_CACHE": folder, "TMPDIR": folder}
        process = subprocess.Popen(
            [*begin, str(file), str(setting.gpus), str(setting.cores)],
            cwd=ROOT,
            env=surroundings,
            start_new_session=True,
        )
        ended = ""
        try:
            code = process.wait(seconds)
            if code:
                ended = f"the check's process ended with code {code}"
        except subprocess.TimeoutExpired:
            ended = f"time-out after {seconds:.0f} s"
        finally:
            kill(process)
        lines = file.read_text(encoding="utf-8").splitlines()
    found = [Result(**json.loads(line)) for line in lines]
    if ended:
        spent = time.monotonic() - started
        found.append(Result(check, "what was left", math.nan, "", FAIL, spent, ended))
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def cells(result: Result) -> list[str]:
    """Return a result as the CSV file holds it."""
    value = "" if math.isnan(result.value) else f"{result.value:.4g}"
    return [
        result.check,
        result.compared,
        value,
        result.limit,
        result.verdict,
        f"{result.seconds:.1f}",
        result.note,
    ]


def write(results: Sequence[Result], path: Path) -> None:
    """Write all results in one move."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(map(cells, results))
    write_text(path, text.getvalue())


def show(results: Sequence[Result]) -> None:
    """Print results, one a line."""
    for result in results:
        check, compared, value, limit, verdict, seconds, note = cells(result)
        judged = f"{value} {limit}".strip()
        print(f"{verdict:8}{check:11}{seconds:>6} s  {judged:20} {compared}", end="")
        print(f" ({note})" if note else "", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
