"""Reading 13-band GeoTIFFs: images a second beside torchgeo's EuroSAT, memory of two processes."""

import multiprocessing
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from torch.utils.data import DataLoader

from hetlib.datasets import SceneFolder
from hetlib_bundle.paths import DATA

from . import Row

BATCH = 64
REPEATS = 7
LAYOUT = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"  # where torchgeo looks
SIZE = 64  # pixels
PATCHES = 400
MEMORY = Path("/proc/self/smaps_rollup")

# Least ratios to torchgeo.
FIRST_PASS = 1.5
LATER_PASSES = 20

# Most memory of two processes, in caches.
TWO_PROCESSES = 1.1


@contextmanager
def patches() -> Iterator[Path]:
    """Give a folder of 64 x 64 uint16 GeoTIFFs as torchgeo wants it, real or cut from a scene."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        archive = Path(os.getenv("HETLIB_DATA", "none"), "sentinel2_l1c_13band_patches.tar")
        if archive.is_file():
            unpack(archive, root / LAYOUT)
        else:
            cut(DATA / "brandenburg.tif", root / LAYOUT)
        names = sorted(path.name for path in (root / LAYOUT).rglob("*.tif"))
        (root / "eurosat-train.txt").write_text("\n".join(names))
        yield root


def unpack(archive: Path, folder: Path) -> None:
    """Unpack images with their class folders, and nothing that is above these."""
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None:
                path = folder.joinpath(*member.name.split("/")[-2:])
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def cut(image: Path, folder: Path) -> None:
    """Cut patches from a scene; they overlap, so that there are enough."""
    with rasterio.open(image) as scene:
        pixels = scene.read()
        kind = {
            "driver": "GTiff",
            "interleave": "pixel",
            "dtype": "uint16",
            "count": 13,
            "height": SIZE,
            "width": SIZE,
            "crs": scene.crs,
            "transform": scene.transform,
        }
    for i in range(PATCHES):
        path = folder / f"c{i % 5}" / f"c{i % 5}_{i}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = i // 40 * SIZE
        column = i % 40 * 36
        with rasterio.open(path, "w", **kind) as out:
            out.write(pixels[:, row : row + SIZE, column : column + SIZE])


def open_ours(root: Path, cache: Path) -> SceneFolder:
    return SceneFolder(root / LAYOUT, fractions=(1, 0, 0), cache=cache)


def read_ours(dataset: SceneFolder) -> int:
    for start in range(0, len(dataset), BATCH):
        end = min(start + BATCH, len(dataset))
        dataset.gather(range(start, end))
    return len(dataset)


def open_theirs(root: Path) -> Any:
    """Open the same images with torchgeo, where it is installed."""
    if not find_spec("torchgeo"):
        return None
    from torchgeo.datasets import EuroSAT

    return EuroSAT(str(root))


def read_theirs(dataset: Any) -> int:
    loader = DataLoader(dataset, batch_size=BATCH)
    return sum(len(batch["label"]) for batch in loader)


def rate(read: Callable[[], int]) -> float:
    """Images per second."""
    start = time.perf_counter()
    images = read()
    return images / (time.perf_counter() - start)


def rate_of_first_pass(root: Path) -> float:
    with tempfile.TemporaryDirectory() as cache:  # nothing decoded yet
        return rate(lambda: read_ours(open_ours(root, Path(cache))))


def row(name: str, values: Sequence[float], goal: str = "", holds: bool | None = None) -> Row:
    middle = float(np.median(values))
    return Row(name, middle, min(values), max(values), len(values), goal, holds)


def pss() -> int:
    """Bytes of this process, shared pages divided by those who share them."""
    lines = MEMORY.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def touch(root: Path, cache: Path, together: Barrier, grown: "Queue[int]") -> None:
    dataset = open_ours(root, cache)
    before = pss()
    together.wait()
    dataset._entry.arrays["images"].max()  # reads every page and copies none
    together.wait()
    grown.put(pss() - before)
    together.wait()


def memory(root: Path, cache: Path) -> float:
    """Growth of two processes that read all of the cache, in caches; nobody may have read it."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    grown = context.Queue()
    size = open_ours(root, cache)._entry.arrays["images"].nbytes
    given = (root, cache, together, grown)
    workers = [context.Process(target=touch, args=given) for _ in range(2)]
    for worker in workers:
        worker.start()
    total = sum(grown.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return total / size


def compare_memory(root: Path, cache: Path) -> list[Row]:
    if not MEMORY.exists():
        return []
    sizes = [memory(root, cache) for _ in range(3)]
    holds = float(np.median(sizes)) <= TWO_PROCESSES
    return [row("memory of two processes / cache", sizes, f"<= {TWO_PROCESSES}", holds)]


def compare_rates(root: Path, cache: Path) -> list[Row]:
    """Measure both readers in turn on the same files; ratios are within each turn."""
    ours = open_ours(root, cache)
    theirs = open_theirs(root)
    read_ours(ours)
    if theirs:
        read_theirs(theirs)

    geo = []
    first = []
    later = []
    for _ in range(REPEATS):
        if theirs:
            geo.append(rate(lambda: read_theirs(theirs)))
        first.append(rate_of_first_pass(root))
        later.append(rate(lambda: read_ours(ours)))

    rows = [
        row("first pass, cold cache (images/s)", first),
        row("later passes (images/s)", later),
        ratio("first pass / torchgeo", first, geo, FIRST_PASS),
        ratio("later passes / torchgeo", later, geo, LATER_PASSES),
    ]
    if theirs:
        rows.append(row("torchgeo (images/s)", geo))
    return rows


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float], least: float) -> Row:
    """Compare rates turn by turn; without theirs, the row says what it needs."""
    goal = f">= {least:g}"
    if not theirs:
        unknown = float("nan")
        return Row(name, unknown, unknown, unknown, 0, f"{goal}, needs torchgeo")
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    holds = float(np.median(ratios)) >= least
    return row(name, ratios, goal, holds)


def run() -> list[Row]:
    """Measure memory and both readers, on one torch thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with patches() as root, tempfile.TemporaryDirectory() as cache:
        rows = compare_memory(root, Path(cache))
        rows += compare_rates(root, Path(cache))
    torch.set_num_threads(threads)
    return rows
