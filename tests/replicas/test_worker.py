"""What runs in a worker, also where the C library is not glibc."""

import ctypes
import io
import platform
import sys
from types import SimpleNamespace

import pytest
import torch

from hetlib.replicas import worker
from hetlib.replicas.platform import Replica
from tests import workers


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc",
    reason="another C library has other thresholds",
)
def test_freed_memory_is_used_again_without_page_faults(team):
    assert max(team(1, 1).run(workers.page_faults)) < 1_000  # of 240,000 pages


def test_without_glibc_memory_is_left_alone(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    worker.keep_freed_memory()


def test_a_c_library_without_thresholds_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    worker.keep_freed_memory()


def test_a_line_is_printed_here_without_a_caller(capsys):
    worker.report("epoch 1")
    assert capsys.readouterr().out == "epoch 1\n"


def test_a_gpu_without_a_number_is_the_first(monkeypatch):
    """torch itself refuses to make a device current that has no number."""
    chosen = []
    monkeypatch.setattr(torch._C, "_cuda_setDevice", chosen.append, raising=False)
    with pytest.raises(ValueError, match="specified index"):
        torch.cuda.set_device("cuda")
    worker._use_device(Replica(device="cuda", threads=torch.get_num_threads()))
    worker._use_device(Replica(device="cuda:2", threads=torch.get_num_threads()))
    assert chosen == [0, 2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_line_is_printed_whatever_letters_the_output_has(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    worker.report("Äcker 水田: epoch 1")
    said = raw.getvalue().decode(encoding)
    assert said.endswith(": epoch 1\n")
    assert ("Ä" in said) == (encoding != "ascii")
