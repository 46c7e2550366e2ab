"""A task of torchgeo, trained on windows that a geographic sampler draws from a scene.

Run it with: torchrun --nproc-per-node 2 with_torchgeo.py
"""

import tempfile
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import rasterio
import torch
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler, RandomGeoSampler
from torchgeo.trainers import ClassificationTask

import hetlib
from hetlib.integrations.lightning import Balanced

# a scene of this replica's own, the same on all; yours is on a disk that all see
folder = tempfile.TemporaryDirectory()
with rasterio.open(
    Path(folder.name, "scene.tif"),
    "w",
    driver="GTiff",
    height=128,
    width=128,
    count=3,
    dtype="float32",
    crs="EPSG:32633",
    transform=rasterio.transform.from_origin(500_000, 5_000_000, 10, 10),
) as scene:
    scene.write(np.random.default_rng(1).normal(size=(3, 128, 128)).astype("float32"))


def label(sample: dict) -> dict:
    """Return a window with a label: is it bright?"""
    sample["label"] = (sample["image"].mean() > 0).long()
    return {name: sample[name] for name in ("image", "label")}


dataset = RasterDataset(folder.name, transforms=label)
# each epoch its windows are drawn once, the same on all replicas, and dealt
sampler = RandomGeoSampler(dataset, size=32, length=96)
loader = hetlib.BalancedLoader(dataset, [24, 8], sampler=sampler, seed=0, collate_fn=stack_samples)
# the task's schedule follows the validation loss: every replica has all of it
grid = GridGeoSampler(dataset, size=32, stride=32)
validation = DataLoader(dataset, sampler=grid, batch_size=8, collate_fn=stack_samples)

torch.manual_seed(0)
task = ClassificationTask(model="resnet18", in_channels=3, num_classes=2)
# one batch's statistics over all replicas
hetlib.convert_batchnorm(task.model)
trainer = pl.Trainer(
    accelerator="cpu",
    devices=2,
    strategy="ddp",
    max_epochs=1,
    callbacks=[Balanced()],
    use_distributed_sampler=False,
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
)
trainer.fit(task, loader, validation)

hetlib.check_weights(task)
print(f"replica {trainer.global_rank}: weights equal on all replicas", flush=True)
