"""Uneven accumulation: a replica with little memory takes its share in more, smaller parts.

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
layers = [torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
network = torch.nn.Sequential(*layers, torch.nn.Linear(32, 10))

data = TensorDataset(images, labels)
sampler = hetlib.BalancedSampler(len(data), [90, 38], seed=0)  # samples a step of each replica
loader = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
model = hetlib.balance(DistributedDataParallel(network), sampler, check=True)  # compares the first step once
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
most = [64, 8][dist.get_rank()]  # samples that fit into this replica's memory at once

for inputs, targets in loader:
    parts = list(zip(inputs.split(most), targets.split(most), strict=True))
    for number, (part, target) in enumerate(parts, 1):
        # Only the last part of each replica starts the exchange of gradients.
        with contextlib.nullcontext() if number == len(parts) else model.no_sync():
            F.cross_entropy(model(part), target).backward()  # the mean over the part, as ever
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {dist.get_rank()}: {len(parts)} parts in the last step, weights equal on all replicas", flush=True)
dist.destroy_process_group()
