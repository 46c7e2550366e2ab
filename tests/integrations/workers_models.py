"""Trainings of torchgeo's, timm's and segmentation_models_pytorch's networks, for a job."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import rasterio
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import RandomGeoSampler
from torchgeo.trainers import ClassificationTask

import hetlib
from hetlib.integrations.lightning import Balanced
from tests.integrations import problem

SIDE = 16  # pixels of an image
UNLABELLED = 255
RESNET = "test_resnet"  # timm's smallest


class Scenes(Dataset[dict[str, torch.Tensor]]):
    """Images with a label each, and masks of which more or less is labelled."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        size = problem.SAMPLES
        self.images = torch.randn(size, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
        self.labels = torch.randint(0, 3, (size,), generator=generator)
        self.masks = torch.randint(0, 3, (size, SIDE, SIDE), generator=generator)
        part = torch.rand(size, 1, 1, generator=generator)
        hidden = torch.rand(self.masks.shape, generator=generator) < part
        self.masks[hidden] = UNLABELLED

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "image": self.images[index],
            "label": self.labels[index],
            "mask": self.masks[index],
            "number": torch.tensor(index),
        }


def scenes_loader(**options: Any) -> hetlib.BalancedLoader:
    return hetlib.BalancedLoader(Scenes(), problem.SHARES, seed=5, **options)


# Networks


def resnet() -> nn.Module:
    """Return the network of torchgeo's task."""
    torch.manual_seed(3)
    return ClassificationTask(model=RESNET, in_channels=3, num_classes=3).model.double()


def transformer() -> nn.Module:
    torch.manual_seed(3)
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIDE,
        patch_size=8,
        depth=1,
        embed_dim=16,
        num_heads=2,
        num_classes=3,
    ).double()


def unet() -> nn.Module:
    torch.manual_seed(3)
    net = smp.Unet(
        f"tu-{RESNET}",
        encoder_depth=3,
        encoder_weights=None,
        decoder_channels=(8, 8, 4),
        classes=3,
    )
    return net.double()


def label_loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.cross_entropy(net(batch["image"]), batch["label"])


def pixel_loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean over the batch's valid pixels."""
    return F.cross_entropy(net(batch["image"]), batch["mask"], ignore_index=UNLABELLED)


# torchgeo's task under Lightning


class Task(ClassificationTask):
    """The task with the problem's optimizer, whose network is made alike everywhere."""

    def __init__(self) -> None:
        super().__init__(model=RESNET, in_channels=3, num_classes=3)
        self.model = hetlib.convert_batchnorm(resnet())
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> torch.Tensor:
        self.seen += batch["number"].tolist()
        return super().training_step(batch, batch_idx, dataloader_idx)

    def configure_optimizers(self) -> Any:
        return problem.optimizer_of(self.model)


def fitted(loader: Any) -> tuple[torch.Tensor, list[Any]]:
    task = Task()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=problem.EPOCHS,
        callbacks=[Balanced()],
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, loader, DataLoader(Scenes(), batch_size=16))
    return problem.weights_of(task.model), task.seen


def write_raster(folder: str) -> None:
    """Write a scene that windows are drawn from."""
    values = np.random.default_rng(1).normal(size=(3, 64, 64)).astype("float32")
    transform = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
    with rasterio.open(
        Path(folder, "scene.tif"),
        "w",
        driver="GTiff",
        height=64,
        width=64,
        count=3,
        dtype="float32",
        crs="EPSG:32633",
        transform=transform,
    ) as scene:
        scene.write(values)


def windows_loader(folder: str, shares: tuple[int, ...], **options: Any) -> hetlib.BalancedLoader:
    """Return a loader whose samples are windows that torchgeo draws."""
    dataset = RasterDataset(folder, transforms=labelled)
    sampler = RandomGeoSampler(dataset, size=SIDE, length=problem.SAMPLES)
    return hetlib.BalancedLoader(
        dataset, shares, sampler=sampler, seed=5, collate_fn=stack_samples, **options
    )


def labelled(sample: dict[str, Any]) -> dict[str, Any]:
    image = sample["image"].double()
    label = (image[0].mean() > 0).long() + (image[1].mean() > 0).long()
    # a window is known by the sum of its pixels
    return {"image": image, "label": label, "number": image.sum()}


def windows_in_one_process(folder: str) -> tuple[torch.Tensor, list[Any]]:
    net = resnet()
    optimizer = problem.optimizer_of(net)
    loader = windows_loader(folder, (sum(problem.SHARES),), rank=0)
    seen = []
    for _ in range(problem.EPOCHS):
        for batch in loader:
            seen += batch["number"].tolist()
            label_loss(net, batch).backward()
            optimizer.step()
            optimizer.zero_grad()
    return problem.weights_of(net), seen


# A loop of one's own


def trained(
    make: Callable[[], nn.Module], loss_of: Callable[..., torch.Tensor], *, counted: bool
) -> tuple[torch.Tensor, list[int]]:
    """Train a network under DDP; ``counted``: its loss is a mean over valid pixels."""
    net = hetlib.convert_batchnorm(make())
    model = DistributedDataParallel(net)
    optimizer = problem.optimizer_of(net)
    loader = scenes_loader(num_workers=2)
    seen = []
    for _ in range(problem.EPOCHS):
        for batch in loader:
            seen += batch["number"].tolist()
            announced = None
            if counted:
                announced = hetlib.announce((batch["mask"] != UNLABELLED).sum())
            loss = loss_of(model, batch)
            hetlib.balance(loss, loader, count=announced).backward()
            optimizer.step()
            optimizer.zero_grad()
    return problem.weights_of(net), seen


def everything(rank: int, folder: str) -> dict[str, Any]:
    """Run all of this in one job."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    ways: dict[str, Callable[[], Any]] = {
        "task": lambda: fitted(scenes_loader()),
        "timm": lambda: trained(transformer, label_loss, counted=False),
        "segmentation": lambda: trained(unet, pixel_loss, counted=True),
    }
    found: dict[str, Any] = {name: {"right": way()} for name, way in ways.items()}
    for name, way in ways.items():
        for mutant in problem.MUTANTS:
            with problem.mutated(mutant):
                found[name][mutant] = way()
    found["windows"] = {"right": fitted(windows_loader(folder, problem.SHARES, num_workers=2))}
    scripts = ("with_torchgeo", "segmentation")
    found["scripts"] = [problem.run_script(name)["loader"].step for name in scripts]
    return found


def references(rank: int, folder: str) -> dict[str, Any]:
    """Return what one process makes of all."""
    warnings.simplefilter("ignore")
    return {
        "task": problem.one_process(resnet, label_loss, Scenes()),
        "timm": problem.one_process(transformer, label_loss, Scenes()),
        "segmentation": problem.one_process(unet, pixel_loss, Scenes()),
        "windows": windows_in_one_process(folder),
    }
