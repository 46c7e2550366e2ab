"""Counts that only the rank knows: a loss over valid pixels, some of which are not labelled.

Run it with: torchrun --nproc-per-node 2 tokens.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import hetlib

dist.init_process_group("gloo")
torch.manual_seed(0)
images, labels = torch.randn(200, 4, 32, 32), torch.randint(0, 5, (200, 32, 32))
# from almost none to almost all of an image
labels[torch.rand(labels.shape) < torch.rand(200, 1, 1)] = -100
layers = [torch.nn.Conv2d(4, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 5, 1)]

data = TensorDataset(images, labels)
sampler = hetlib.BalancedSampler(len(data), [24, 8], seed=0)
loader = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
# no sampler: counts follow
model = hetlib.balance(DistributedDataParallel(torch.nn.Sequential(*layers)), check=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

for inputs, targets in loader:
    valid = (targets != -100).sum()
    hetlib.announce(model, valid)  # its sum over the replicas travels while the model computes
    # the mean over this replica's valid pixels
    F.cross_entropy(model(inputs), targets, ignore_index=-100).backward()
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(
    f"replica {dist.get_rank()}: {valid} valid pixels in the last step, weights equal on all replicas",
    flush=True,
)
dist.destroy_process_group()
