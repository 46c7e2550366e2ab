"""Our training step against a plain DDP script written as torch's tutorial does.

Two pairs of processes take turns, so that both see the same machine: our replicas, and processes
that hold float32 images in a TensorDataset behind a DataLoader with a DistributedSampler, wrap the
model in DDP and step torch.optim.SGD, all at their defaults and with one thread each, as torchrun
sets it. Same CNN, batches, optimizer and learning rate; data already in memory.
"""

import math
import multiprocessing as mp
import tempfile
import time
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

import hetlib
from hetlib.datasets.catalog import load_dataset
from hetlib.models.registry import build_model
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from tests.bench import Row
from tests.bench._measure import row


class Case(NamedTuple):
    model: str
    size: int  # pixels
    batch: int  # samples of both replicas
    steps: int  # a turn
    pairs: int


# The global batch is the notebooks' default.
CASES = (
    Case("smallcnn", 16, 128, 20, 15),
    Case("resnet18", 32, 128, 3, 9),
    Case("mobilenet_v3_small", 64, 128, 4, 11),
)


def options(case: Case) -> dict[str, int]:
    return {"window": case.size, "per_class": 64}


def tutorial(rank: int, folder: str, pipe: Connection) -> None:
    """Serve turns of the plain script until ``None`` comes."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    while (case := pipe.recv()) is not None:
        data = load_dataset("brandenburg", "train", **options(case))
        images, labels = data.gather(np.arange(len(data)))
        dataset = TensorDataset(images.contiguous(), labels)
        loader = DataLoader(
            dataset, batch_size=case.batch // 2, sampler=DistributedSampler(dataset)
        )
        model = DistributedDataParallel(
            build_model(case.model, bands=13, classes=8, size=case.size)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        loss_function = nn.CrossEntropyLoss()
        ended: list[float] = []
        while len(ended) <= case.steps:
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = loss_function(model(inputs), targets)
                loss.backward()
                optimizer.step()
                ended.append(time.perf_counter())
        del model
        pipe.send(float(np.median(np.diff(ended[: case.steps + 1]))))


def ours(rank: int, case: Case) -> float:
    """Return the median seconds of a step of our loop."""
    size = len(load_dataset("brandenburg", "train", **options(case)))
    experiment = hetlib.Experiment(
        model=case.model,
        strategy="equal",
        global_batch=case.batch,
        epochs=math.ceil((case.steps + 1) * case.batch / size) + 1,
        max_steps=case.steps + 1,
        lr=0.01,
        schedule="constant",
        evaluate_every=0,
        dataset_options=options(case),
    )
    halves = (case.batch // 2, case.batch // 2)
    result = train_replica(
        rank, Job(experiment, hetlib.Platform.emulated([1, 1]), halves, (1.0, 1.0), halves, False)
    )
    return float(np.median(np.diff(result["stamps"][:, 3])))


def run() -> list[Row]:
    """Return our step time over the tutorial's, and the tutorial's over itself as the noise."""
    context = mp.get_context("spawn")
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas,
    ):
        pipes = [context.Pipe() for _ in range(2)]
        plain = [
            context.Process(target=tutorial, args=(r, folder, pipes[r][1]), daemon=True)
            for r in range(2)
        ]
        for process in plain:
            process.start()

        def turn(case: Case) -> float:
            for here, _ in pipes:
                here.send(case)
            return max(here.recv() for here, _ in pipes)

        for case in CASES:
            pairs = [
                (max(replicas.run(ours, case)), turn(case), turn(case))
                for _ in range(case.pairs + 1)
            ]
            own, first, second = np.asarray(pairs[1:]).T  # the first pair warms up
            ratios = list(own / ((first + second) / 2))
            title = f"{case.model}, {case.size} px, batch {case.batch}"
            rows.append(row(f"{title}: ours / tutorial", ratios))
            rows.append(row(f"{title}: tutorial / tutorial", list(second / first)))
        for (here, _), process in zip(pipes, plain, strict=True):
            here.send(None)
            process.join(30)
    low, middle, high = (
        float(np.exp(np.mean(np.log([getattr(r, part) for r in rows[::2]])))) for part in _PARTS
    )
    title = "geometric mean over the CNNs: ours / tutorial"
    return [
        *rows,
        Row(title, middle, low, high, min(case.pairs for case in CASES), "<= 0.75", middle <= 0.75),
    ]


_PARTS = ("low", "value", "high")
