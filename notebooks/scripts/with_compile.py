"""torch.compile: a compiled network, or a compiled step with `balance` in it.

Run it with: torchrun --nproc-per-node 2 with_compile.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

import hetlib

# "inductor" makes machine code, and needs a C++ compiler
BACKEND = "aot_eager"

dist.init_process_group("gloo")
torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 64), torch.randint(0, 10, (480,)))
network = torch.nn.Sequential(
    torch.nn.Linear(64, 128),
    torch.nn.ReLU(),
    torch.nn.Linear(128, 10),
)
model = DistributedDataParallel(network)
loader = hetlib.BalancedLoader(data, [90, 38], seed=0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


@torch.compile(backend=BACKEND)
def step(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss, weighted."""
    loss = F.cross_entropy(model(inputs), targets)
    return hetlib.balance(loss, loader)


for inputs, targets in loader:
    step(inputs, targets).backward()
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {dist.get_rank()}: weights equal on all replicas", flush=True)
dist.destroy_process_group()
