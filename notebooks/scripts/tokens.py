"""Counts that only the rank knows: a loss over valid pixels, some of which are not labelled.

Run it with: torchrun --nproc-per-node 2 tokens.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

import hetlib

# what cross_entropy leaves out
UNLABELLED = -100

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
images = torch.randn(200, 4, 32, 32)
labels = torch.randint(0, 5, (200, 32, 32))
# from almost none to almost all of an image
hidden = torch.rand(labels.shape) < torch.rand(200, 1, 1)
labels[hidden] = UNLABELLED
data = TensorDataset(images, labels)
network = torch.nn.Sequential(
    torch.nn.Conv2d(4, 16, 3, padding=1),
    torch.nn.ReLU(),
    torch.nn.Conv2d(16, 5, 1),
)

sampler = hetlib.BalancedSampler(len(data), [24, 8], seed=0)
loader = DataLoader(data, batch_sampler=sampler, collate_fn=hetlib.collate(data))
# no sampler: counts follow
model = hetlib.balance(DistributedDataParallel(network), check=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

for inputs, targets in loader:
    valid = (targets != UNLABELLED).sum()
    # its sum over the replicas travels while the model computes
    hetlib.announce(model, valid)
    outputs = model(inputs)
    # the mean over this replica's valid pixels
    loss = F.cross_entropy(outputs, targets, ignore_index=UNLABELLED)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(
    f"replica {rank}: {valid} valid pixels in the last step, weights equal on all replicas",
    flush=True,
)
dist.destroy_process_group()
