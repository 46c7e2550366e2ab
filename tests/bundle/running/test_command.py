"""The command ``hetlib``: its help, and a wrong argument in one line."""

import os
import subprocess
import sys

from typer.testing import CliRunner

from hetlib_bundle import cli


def test_command_line_reports_in_one_line() -> None:
    done = CliRunner().invoke(cli.app, ["reproduce", "--profile", "huge"])
    assert done.exit_code == 2
    assert "hetlib: unknown profile 'huge'" in done.output


def test_help_names_the_commands() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hetlib_bundle", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0
    assert "reproduce" in done.stdout
