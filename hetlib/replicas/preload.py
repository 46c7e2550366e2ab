"""What the server of workers imports once, by its name; anywhere else the import does nothing.

All that a worker needs before its first step is here: the first optimizer would import
torch._dynamo. These imports take seconds, in which the server does not listen, and its workers keep
it alive, also those that somebody stopped. So a clock looks whether the process that it serves is
still there. Without that, the server ends, and Linux ends its workers.
"""

import contextlib
import importlib
import os
import shutil
import signal

from hetlib.replicas.caller import FOLDER

_NEEDED = ("torch._dynamo", "torch.nn.parallel.distributed", "hetlib.training.run")

# Seconds between two looks.
_LOOK = 0.5


def _watch(folder: str) -> None:
    """Look for the served process from now on; no process that is forked from this one does.

    Args:
        folder: Temporary one of the served process, which goes with it.
    """
    served = os.getppid()

    def look(*_: object) -> None:
        if os.getppid() == served:
            return
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)


def _import_all() -> None:
    for module in _NEEDED:
        with contextlib.suppress(ImportError):  # of an extra: it is missed where it is needed
            importlib.import_module(module)


# Only the server is started with it.
if FOLDER in os.environ:
    _watch(os.environ.pop(FOLDER))
    _import_all()
