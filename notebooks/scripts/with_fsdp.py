"""FSDP2: weights spread over the replicas, whose loop is the same; and a checkpoint in mid-epoch.

Run it with: torchrun --nproc-per-node 2 with_fsdp.py
"""

import tempfile

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from torch.distributed.fsdp import fully_shard
from torch.utils.data import TensorDataset

import hetlib

dist.init_process_group("gloo")
torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 64), torch.randint(0, 10, (480,)))
model = torch.nn.Sequential(
    torch.nn.Linear(64, 128),
    torch.nn.ReLU(),
    torch.nn.Linear(128, 10),
)
for layer in (model[0], model[2]):
    fully_shard(layer)
fully_shard(model)

loader = hetlib.BalancedLoader(data, [90, 38], seed=0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for inputs, targets in loader:
    loss = F.cross_entropy(model(inputs), targets)
    # as with DistributedDataParallel
    hetlib.balance(loss, loader).backward()
    optimizer.step()
    optimizer.zero_grad()
    if loader.step == 1:
        break

# one folder for all replicas; the loader's state is where the training is
own = tempfile.TemporaryDirectory()
names = [own.name]
dist.broadcast_object_list(names)
dcp.save({"model": model.state_dict(), "loader": loader}, checkpoint_id=names[0])
resumed = hetlib.BalancedLoader(data, [90, 38], seed=0)
dcp.load({"model": model.state_dict(), "loader": resumed}, checkpoint_id=names[0])
# the folder goes when its replica ends
dist.barrier()

print(f"replica {dist.get_rank()}: goes on at step {resumed.step}", flush=True)
dist.destroy_process_group()
