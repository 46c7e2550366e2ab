"""Land-cover maps: a U-Net whose loss is a mean over the labelled pixels.

Run it with: torchrun --nproc-per-node 2 segmentation.py
"""

import segmentation_models_pytorch as smp
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

import hetlib

# what cross_entropy leaves out
UNLABELLED = 255

dist.init_process_group("gloo")
torch.manual_seed(0)
images = torch.randn(96, 3, 32, 32)
masks = torch.randint(0, 4, (96, 32, 32))
# from almost none to almost all of an image
masks[torch.rand(masks.shape) < torch.rand(96, 1, 1)] = UNLABELLED
network = smp.Unet("resnet18", encoder_weights=None, classes=4)
model = DistributedDataParallel(hetlib.convert_batchnorm(network))
loader = hetlib.BalancedLoader(TensorDataset(images, masks), [24, 8], seed=0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

for inputs, targets in loader:
    # its sum over the replicas travels while the model computes
    labelled = hetlib.announce((targets != UNLABELLED).sum())
    loss = F.cross_entropy(model(inputs), targets, ignore_index=UNLABELLED)
    hetlib.balance(loss, loader, count=labelled).backward()
    optimizer.step()
    optimizer.zero_grad()

hetlib.check_weights(model)
print(f"replica {dist.get_rank()}: weights equal on all replicas", flush=True)
dist.destroy_process_group()
