"""Random states that stay as they are, whatever happens within."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Give Python, numpy and torch, on the CPU and on GPUs in use, their random states back."""
    of_python = random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002 -- the caller's
    of_torch = torch.get_rng_state()
    of_gpus = []
    # no forked worker of a loader has initialised them
    if torch.cuda.is_initialized():
        of_gpus = torch.cuda.get_rng_state_all()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_rng_state(of_torch)
        if of_gpus:
            torch.cuda.set_rng_state_all(of_gpus)
