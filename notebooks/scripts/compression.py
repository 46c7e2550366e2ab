"""Half the traffic: DDP's own compression hook under the balanced gradient.

Run it with: torchrun --nproc-per-node 2 compression.py
"""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

import hetlib

dist.init_process_group("gloo")
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

loader = hetlib.BalancedLoader(data, [90, 38], seed=0)
model = DistributedDataParallel(network)
# any of DDP's hooks: the weights are already in the gradients
model.register_comm_hook(None, bf16_compress_hook)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

for inputs, targets in loader:
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(inputs)
    loss = F.cross_entropy(outputs.float(), targets)
    hetlib.balance(loss, loader).backward()
    # after the reduction: all replicas see one norm
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {dist.get_rank()}: weights equal on all replicas", flush=True)
dist.destroy_process_group()
