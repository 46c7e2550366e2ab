"""Over which backend the replicas of a job talk."""

import pytest

from hetlib.replicas.groups import backend_of
from hetlib.replicas.platform import Replica


@pytest.mark.parametrize(
    ("devices", "one_machine", "backend"),
    [
        (["cpu", "cpu"], True, "gloo"),
        (["cuda:0", "cuda:1"], True, "nccl"),
        (["cuda:0", "cuda:0"], True, "gloo"),  # NCCL refuses two ranks on one GPU
        (["cuda", "cuda:0"], True, "gloo"),  # by two names
        (["cuda", "cuda:1"], True, "nccl"),
        (["cuda:0", "cuda:0"], False, "nccl"),  # one each on two machines
        (["cuda:0", "cpu"], True, "gloo"),
        (["cuda:0", "cpu"], False, "gloo"),
    ],
)
def test_nccl_is_for_a_gpu_each(devices, one_machine, backend):
    replicas = [Replica(device=device) for device in devices]
    assert backend_of(replicas, one_machine=one_machine) == backend
