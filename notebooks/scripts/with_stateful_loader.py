"""torchdata's StatefulDataLoader, which keeps the place of batches that its workers read ahead.

Run it with: torchrun --nproc-per-node 2 with_stateful_loader.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import hetlib

dist.init_process_group("gloo")
torch.manual_seed(0)
data = TensorDataset(torch.randn(480, 64), torch.randint(0, 10, (480,)))
model = DistributedDataParallel(torch.nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


def make_loader() -> StatefulDataLoader:
    """Return a loader of another kind over the balanced sampler."""
    return StatefulDataLoader(
        data,
        batch_sampler=hetlib.BalancedSampler(len(data), [90, 38], seed=0),
        collate_fn=hetlib.collate(data),
        num_workers=2,
        snapshot_every_n_steps=2,
    )


def train(loader: StatefulDataLoader, most: int) -> int:
    """Train some steps of a pass, and return how many there were."""
    steps = 0
    for inputs, targets in loader:
        loss = F.cross_entropy(model(inputs), targets)
        # this loader does not know what was dealt: the replicas sum what they have
        hetlib.balance(loss, count=len(targets)).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
        if steps == most:
            break
    return steps


loader = make_loader()
train(loader, most=3)
resumed = make_loader()
resumed.load_state_dict(loader.state_dict())
left = train(resumed, most=100)

hetlib.check_weights(model)
print(f"replica {dist.get_rank()}: {left} step was left of the epoch", flush=True)
dist.destroy_process_group()
