"""Reading 13-band GeoTIFFs: images per second beside torchgeo's EuroSAT, and memory of two processes."""

import multiprocessing
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
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


@contextmanager
def patches() -> Iterator[Path]:
    """Give a folder of 64 x 64 uint16 GeoTIFFs as torchgeo wants it, real or cut from the embedded scene."""
    with tempfile.TemporaryDirectory() as temporary:
        root, extra = Path(temporary), os.getenv("HETLIB_DATA")
        archive = Path(extra, "sentinel2_l1c_13band_patches.tar") if extra else None
        if archive and archive.is_file():
            with tarfile.open(archive) as tar:
                for member in (m for m in tar if m.isfile()):
                    path = root / LAYOUT / "/".join(member.name.split("/")[-2:])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(tar.extractfile(member).read())  # type: ignore[union-attr]
        else:
            with rasterio.open(DATA / "brandenburg.tif") as scene:
                pixels, crs, transform = scene.read(), scene.crs, scene.transform
            kind: dict[str, Any] = {"driver": "GTiff", "interleave": "pixel", "dtype": "uint16"}
            kind |= {"count": 13, "height": 64, "width": 64, "crs": crs, "transform": transform}
            for i in range(400):  # overlapping ones, so that there are enough
                path = root / LAYOUT / f"c{i % 5}" / f"c{i % 5}_{i}.tif"
                path.parent.mkdir(parents=True, exist_ok=True)
                row, column = i // 40 * 64, i % 40 * 36
                with rasterio.open(path, "w", **kind) as out:
                    out.write(pixels[:, row : row + 64, column : column + 64])
        names = sorted(path.name for path in (root / LAYOUT).rglob("*.tif"))
        (root / "eurosat-train.txt").write_text("\n".join(names))
        yield root


def open_ours(root: Path, cache: Path) -> SceneFolder:
    return SceneFolder(root / LAYOUT, fractions=(1, 0, 0), cache=cache)


def read_ours(dataset: SceneFolder) -> int:
    for start in range(0, len(dataset), BATCH):
        dataset.gather(range(start, min(start + BATCH, len(dataset))))
    return len(dataset)


def first_pass(root: Path) -> float:
    with tempfile.TemporaryDirectory() as cache:  # nothing decoded yet
        return rate(lambda: read_ours(open_ours(root, Path(cache))))


def read_torchgeo(dataset: Any) -> int:
    return sum(len(batch["label"]) for batch in DataLoader(dataset, batch_size=BATCH))


def rate(read: Callable[[], int]) -> float:
    """Images per second."""
    start = time.perf_counter()
    images = read()
    return images / (time.perf_counter() - start)


def row(name: str, values: list[float], goal: str = "", holds: bool | None = None) -> Row:
    middle = float(np.median(values))
    return Row(name, middle, min(values), max(values), len(values), goal, holds)


def pss() -> int:
    """Bytes of this process, shared pages divided by those who share them."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def touch(root: Path, cache: Path, together: Barrier, grown: Any) -> None:
    dataset = open_ours(root, cache)
    before = pss()
    together.wait()
    dataset._entry.arrays["images"].max()  # reads every page and copies none
    together.wait()
    grown.put(pss() - before)
    together.wait()


def memory(root: Path, cache: Path) -> float:
    """Growth of two processes that read the whole cache, in caches; nobody else may have read it."""
    context = multiprocessing.get_context("spawn")
    together, grown = context.Barrier(2), context.Queue()
    size = open_ours(root, cache)._entry.arrays["images"].nbytes
    workers = [context.Process(target=touch, args=(root, cache, together, grown)) for _ in range(2)]
    for worker in workers:
        worker.start()
    total = sum(grown.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    return total / size


def run() -> list[Row]:
    """Measure both readers in turn on the same files, on one torch thread; ratios are within each turn."""
    rows: list[Row] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with patches() as root, tempfile.TemporaryDirectory() as cache:
        if Path("/proc/self/smaps_rollup").exists():
            sizes = [memory(root, Path(cache)) for _ in range(3)]
            title = "memory of two processes / cache"
            rows.append(row(title, sizes, "<= 1.1", float(np.median(sizes)) <= 1.1))
        ours = open_ours(root, Path(cache))
        theirs = None
        if find_spec("torchgeo"):
            from torchgeo.datasets import EuroSAT

            theirs = EuroSAT(str(root))
            read_torchgeo(theirs)
        read_ours(ours)
        rates = [
            (
                rate(lambda: read_torchgeo(theirs)) if theirs else float("nan"),
                first_pass(root),
                rate(lambda: read_ours(ours)),
            )
            for _ in range(REPEATS)
        ]
        geo, first, later = (list(values) for values in zip(*rates, strict=True))
        rows += [
            row("first pass, cold cache (images/s)", first),
            row("later passes (images/s)", later),
        ]
        for name, mine, least in (("first pass", first, 1.5), ("later passes", later, 20)):
            title = f"{name} / torchgeo"
            if theirs:
                ratios = [a / b for a, b in zip(mine, geo, strict=True)]
                rows.append(row(title, ratios, f">= {least:g}", float(np.median(ratios)) >= least))
            else:
                rows.append(
                    Row(
                        title,
                        float("nan"),
                        float("nan"),
                        float("nan"),
                        0,
                        f">= {least:g}, needs torchgeo",
                    )
                )
        if theirs:
            rows.append(row("torchgeo (images/s)", geo))
    torch.set_num_threads(threads)
    return rows
