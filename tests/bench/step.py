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
from collections.abc import Iterator
from contextlib import contextmanager
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
from hetlib.training.assignment import Assignment
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job
from tests.bench import Row
from tests.bench._measure import row

GOAL = 0.75  # of our step over the tutorial's, geometric mean over the CNNs


class Case(NamedTuple):
    """A network, and how long it is timed.

    Attributes:
        model: Name of the CNN.
        size: Of the images, in pixels.
        batch: Samples of both replicas.
        steps: Of a turn.
        pairs: Of turns.
    """

    model: str
    size: int
    batch: int
    steps: int
    pairs: int


# The global batch is the notebooks' default.
CASES = (
    Case("smallcnn", size=16, batch=128, steps=20, pairs=15),
    Case("resnet18", size=32, batch=128, steps=3, pairs=9),
    Case("mobilenet_v3_small", size=64, batch=128, steps=4, pairs=11),
)


def options(case: Case) -> dict[str, int]:
    return {"window": case.size, "per_class": 64}


def serve_tutorial(rank: int, folder: str, pipe: Connection) -> None:
    """Serve turns of the plain script until ``None`` comes."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
    while True:
        case = pipe.recv()
        if case is None:
            return
        pipe.send(tutorial(case))


def tutorial(case: Case) -> float:
    """Return the median seconds of a step of the plain script."""
    data = load_dataset("brandenburg", "train", **options(case))
    images, labels = data.gather(np.arange(len(data)))
    dataset = TensorDataset(images.contiguous(), labels)
    sampler = DistributedSampler(dataset)
    loader = DataLoader(dataset, batch_size=case.batch // 2, sampler=sampler)
    network = build_model(case.model, bands=13, classes=8, size=case.size)
    model = DistributedDataParallel(network)
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
    return float(np.median(np.diff(ended[: case.steps + 1])))


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
    assignment = Assignment(shares=halves, speeds=(1.0, 1.0), most=halves)
    result = train_replica(rank, Job(experiment, hetlib.Platform.emulated([1, 1]), assignment))
    return float(np.median(np.diff(result["stamps"][:, 3])))


class Tutorial:
    """Two processes that train as the tutorial does, a turn at a time."""

    def __init__(self, folder: str) -> None:
        context = mp.get_context("spawn")
        self._pipes = []
        self._processes = []
        for rank in range(2):
            here, there = context.Pipe()
            process = context.Process(
                target=serve_tutorial, args=(rank, folder, there), daemon=True
            )
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def turn(self, case: Case) -> float:
        """Return the seconds of a step, those of the slower process."""
        for pipe in self._pipes:
            pipe.send(case)
        return max(pipe.recv() for pipe in self._pipes)

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join(30)


@contextmanager
def running_tutorial() -> Iterator[Tutorial]:
    with tempfile.TemporaryDirectory() as folder:
        plain = Tutorial(folder)
        yield plain
        plain.close()


def compare(case: Case, replicas: hetlib.Replicas, plain: Tutorial) -> tuple[Row, Row]:
    """Return our step over the tutorial's, and the tutorial's over itself as the noise."""
    ratios, noise = [], []
    for pair in range(case.pairs + 1):
        own = max(replicas.run(ours, case))
        first = plain.turn(case)
        second = plain.turn(case)
        if pair > 0:  # the first warms up
            ratios.append(own / ((first + second) / 2))
            noise.append(second / first)
    title = f"{case.model}, {case.size} px, batch {case.batch}"
    return (
        row(f"{title}: ours / tutorial", ratios),
        row(f"{title}: tutorial / tutorial", noise),
    )


def geometric_mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def run() -> list[Row]:
    """Return our step time over the tutorial's, and the tutorial's over itself as the noise."""
    rows, compared = [], []
    with running_tutorial() as plain, hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        for case in CASES:
            found, noise = compare(case, replicas, plain)
            rows += [found, noise]
            compared.append(found)
    middle = geometric_mean([found.value for found in compared])
    over_all = Row(
        name="geometric mean over the CNNs: ours / tutorial",
        value=middle,
        low=geometric_mean([found.low for found in compared]),
        high=geometric_mean([found.high for found in compared]),
        runs=min(case.pairs for case in CASES),
        goal=f"<= {GOAL}",
        holds=middle <= GOAL,
    )
    return [*rows, over_all]
