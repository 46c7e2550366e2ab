"""An integration without its framework names the extra that brings it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("framework", ["lightning", "transformers"])
def test_a_framework_that_is_not_installed_is_named(framework: str) -> None:
    script = (
        f"import sys; sys.modules[{framework!r}] = None; import hetlib.integrations.{framework}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"pip install '.[{framework}]'" in done.stderr
