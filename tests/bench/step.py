"""Our training step against a plain DDP script written as torch's tutorial does.

Both run in the same two replicas, in turns of one epoch: same CNN, batches, optimizer and learning rate,
data already in memory. The plain script holds float32 images in a TensorDataset behind a DataLoader with a
DistributedSampler, wraps the model in DDP and steps torch.optim.SGD, all at their defaults.
"""

import math
import time

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import hetlib
from hetlib.datasets import load_dataset
from hetlib.models import build_model
from hetlib.train import Job, train
from tests.bench import Row
from tests.bench._measure import row

# model, window in pixels, global batch, steps a turn, pairs
CASES = (("smallcnn", 16, 128, 20, 11), ("resnet18", 32, 32, 6, 9), ("mobilenet_v3_small", 64, 32, 6, 9))


def _tutorial(model_name: str, images: torch.Tensor, labels: torch.Tensor, batch: int, steps: int) -> float:
    bands, size = images.shape[1:3]
    model = build_model(model_name, bands=bands, classes=8, size=size)
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    dataset = TensorDataset(images, labels)
    loader = DataLoader(dataset, batch_size=batch // 2, sampler=DistributedSampler(dataset), pin_memory=False)
    loss_function = nn.CrossEntropyLoss()
    taken = []
    done = 0
    while done <= steps:
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = loss_function(ddp(inputs), targets)
            loss.backward()
            optimizer.step()
            taken.append(time.perf_counter())
            done += 1
            if done > steps:
                break
    del ddp
    return float(np.median(np.diff(taken)))


def compare(rank: int, case: tuple[str, int, int, int, int]) -> list[tuple[float, float, float]]:
    """Return (ours, tutorial, tutorial again) median seconds a step, pair by pair."""
    name, size, batch, steps, pairs = case
    options = {"window": size, "per_class": 64}
    data = load_dataset("brandenburg", "train", **options)
    images, labels = data.gather(np.arange(len(data)))
    images = images.contiguous()  # the default layout, as a script that read files would hold it
    experiment = hetlib.Experiment(
        model=name,
        strategy="equal",
        global_batch=batch,
        epochs=math.ceil((steps + 1) * batch / len(data)) + 1,
        max_steps=steps + 1,
        lr=0.01,
        schedule="constant",
        evaluate_every=0,
        dataset_options=options,
    )
    job = Job(experiment, hetlib.Platform.emulated([1, 1]), (batch // 2, batch // 2), (1.0, 1.0), False)
    rows = []
    for pair in range(pairs + 1):
        stamps = train(rank, job)["stamps"][:, 3]
        ours = float(np.median(np.diff(stamps)))
        plain = [_tutorial(name, images, labels, batch, steps) for _ in range(2)]
        if pair:
            rows.append((ours, *plain))
    return rows


def run() -> list[Row]:
    """Return our step time over the tutorial's, and the tutorial's over itself as the noise."""
    rows, medians = [], []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for case in CASES:
            pairs = np.asarray(replicas.run(compare, case)).max(axis=0)  # the slower replica of each pair
            ratios = list(pairs[:, 0] / pairs[:, 1:].mean(axis=1))
            rows.append(row(f"{case[0]}, {case[1]} px, batch {case[2]}: ours / tutorial", ratios))
            rows.append(row(f"{case[0]}: tutorial / tutorial", list(pairs[:, 2] / pairs[:, 1])))
            medians.append(ratios)
    shortest = min(map(len, medians))
    means = np.exp(np.mean([np.log(np.sort(m)[:: len(m) // shortest][:shortest]) for m in medians], axis=0))
    middle = float(np.exp(np.mean([np.log(np.median(m)) for m in medians])))
    spread = row("geometric mean over the CNNs: ours / tutorial", list(means), at_most=0.75)
    rows.append(Row(spread.name, middle, spread.low, spread.high, spread.runs, spread.goal, middle <= 0.75))
    return rows
