"""Memory is that of a process and of those that it starts."""

import subprocess
import sys
import time

from hetlib_bundle.running.memory import watch_memory

TAKES_80_MB = """
import time
x = bytearray(b'1') * 80_000_000
print('up', flush=True)
time.sleep(30)
"""


def test_memory_counts_children() -> None:
    with watch_memory(0.05) as alone:
        pass
    command = [sys.executable, "-c", TAKES_80_MB]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child, watch_memory(0.05) as peak:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.3)
        child.kill()
    assert peak.megabytes - alone.megabytes > 70
