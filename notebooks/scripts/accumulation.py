"""Uneven accumulation: a replica with little memory takes its share in more, smaller parts.

Run it with: torchrun --nproc-per-node 2 accumulation.py
"""

import contextlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

import hetlib

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
images = torch.randn(480, 3, 32, 32)
labels = torch.randint(0, 10, (480,))
data = TensorDataset(images, labels)
network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
    torch.nn.Linear(32, 10),
)

# samples that fit into this replica's memory at once; by default measured
most = [64, 8][rank]
plan = hetlib.plan(
    network,
    images[:16],
    global_batch=128,
    accumulate=True,
    max_batch=most,
    seconds=1,
)
loader = hetlib.BalancedLoader(data, plan, seed=0)
model = DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def loss_of(network, batch):
    """Return the mean loss over a batch, as ever."""
    inputs, targets = batch
    return F.cross_entropy(network(inputs), targets)


for inputs, targets in loader:
    parts = hetlib.micro_batches(len(inputs), most)
    for part in parts:
        # Only the last part of each replica starts the exchange of gradients.
        last = part == parts[-1]
        with contextlib.nullcontext() if last else model.no_sync():
            loss = loss_of(model, (inputs[part], targets[part]))
            # the mean over the part alone
            hetlib.balance(loss, loader, samples=len(targets[part])).backward()
    if loader.step == 0:
        # once: is it what one process would have?
        hetlib.check_gradient(model, loss_of, (inputs, targets), loader=loader)
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(
    f"replica {rank}: {len(parts)} parts in the last step, weights equal on all replicas",
    flush=True,
)
dist.destroy_process_group()
