"""Uneven accumulation: a replica with little memory takes its share in more, smaller parts, as planned.

Run it with: torchrun --nproc-per-node 2 accumulation.py
"""

import contextlib

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import hetlib

dist.init_process_group("gloo")
torch.manual_seed(0)
images, labels = torch.randn(480, 3, 32, 32), torch.randint(0, 10, (480,))
layers = [
    torch.nn.Conv2d(3, 32, 3),
    torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1),
    torch.nn.Flatten(),
]
network = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))

data = TensorDataset(images, labels)
# samples that fit into this replica's memory at once; by default measured
most = [64, 8][dist.get_rank()]
plan = hetlib.plan(
    network, images[:16], global_batch=128, accumulate=True, max_batch=most, seconds=1
)
sampler = hetlib.BalancedSampler(len(data), plan, seed=0)
loader = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
# compares the first step once
model = hetlib.balance(DistributedDataParallel(network), sampler, check=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
passes = plan.passes[dist.get_rank()]

for inputs, targets in loader:
    parts = list(zip(inputs.chunk(passes), targets.chunk(passes), strict=True))
    for number, (part, target) in enumerate(parts, 1):
        # Only the last part of each replica starts the exchange of gradients.
        with contextlib.nullcontext() if number == len(parts) else model.no_sync():
            F.cross_entropy(model(part), target).backward()  # the mean over the part, as ever
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(
    f"replica {dist.get_rank()}: {len(parts)} parts in the last step, weights equal on all replicas",
    flush=True,
)
dist.destroy_process_group()
