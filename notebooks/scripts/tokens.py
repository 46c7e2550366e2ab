"""Counts that only the rank knows: a loss over valid pixels, some of which are not labelled.

Run it with: torchrun --nproc-per-node 2 tokens.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

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

loader = hetlib.BalancedLoader(data, [24, 8], seed=0)
model = DistributedDataParallel(network)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


def loss_of(network, batch):
    """Return the mean loss over a batch's valid pixels."""
    inputs, targets = batch
    return F.cross_entropy(network(inputs), targets, ignore_index=UNLABELLED)


for batch in loader:
    valid = (batch[1] != UNLABELLED).sum()
    # its sum over the replicas travels while the model computes
    announced = hetlib.announce(valid)
    loss = loss_of(model, batch)
    hetlib.balance(loss, loader, count=announced).backward()
    if loader.step == 0:
        # once: is it what one process would have?
        hetlib.check_gradient(model, loss_of, batch, count=valid)
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(
    f"replica {rank}: {valid} valid pixels in the last step, weights equal on all replicas",
    flush=True,
)
dist.destroy_process_group()
