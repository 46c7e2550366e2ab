"""What a worker needs before its first step, imported once for all of them by the server that forks them."""

import torch._dynamo
import torch.nn.parallel.distributed  # noqa: F401

import hetlib.datasets
import hetlib.runs  # noqa: F401
