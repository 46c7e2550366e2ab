"""Lightning's Fabric: `balance` takes the loader as Fabric hands it out.

Run it with: torchrun --nproc-per-node 2 with_fabric.py
"""

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch.utils.data import TensorDataset

import hetlib

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 64), torch.randint(0, 10, (480,)))
network = torch.nn.Linear(64, 10)
model, optimizer = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.05))

# the loader deals the samples itself; `own` is what a checkpoint keeps the position of
own = hetlib.BalancedLoader(data, [90, 38], seed=0)
loader = fabric.setup_dataloaders(own, use_distributed_sampler=False)
for inputs, targets in loader:
    loss = F.cross_entropy(model(inputs), targets)
    fabric.backward(hetlib.balance(loss, loader))
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {fabric.global_rank}: weights equal on all replicas", flush=True)
