"""Hugging Face Accelerate, with accumulation: `prepare` leaves the loader as it is.

Run it with: torchrun --nproc-per-node 2 with_accelerate.py
"""

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch.utils.data import TensorDataset

import hetlib

# `split_batches` counts one step of a schedule for each of ours: the plan has the global batch
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2, split_batches=True)
torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 64), torch.randint(0, 10, (480,)))
model = torch.nn.Linear(64, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
loader = hetlib.BalancedLoader(data, [90, 38], seed=0)
model, optimizer, schedule, loader = accelerator.prepare(model, optimizer, schedule, loader)

for inputs, targets in loader:
    with accelerator.accumulate(model):
        loss = F.cross_entropy(model(inputs), targets)
        accelerator.backward(hetlib.balance(loss, loader))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {accelerator.process_index}: weights equal on all replicas", flush=True)
accelerator.end_training()
