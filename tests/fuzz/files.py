"""Odd files: text that is damaged, images, archives and rasters that are not what they seem."""

import io
import json
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from PIL import Image

import hetlib
from hetlib.cli import read_experiment
from hetlib.datasets import LandCoverScene, SceneFolder
from hetlib.planning.store import PlanFile
from hetlib_bundle.claims import register
from hetlib_bundle.kept import lines
from tests.fuzz import odd
from tests.fuzz.settings import PLAN, nothing
from tests.fuzz.verdict import Case

PLATFORM = {"replicas": [{"device": "cpu", "threads": 2, "count": 2}, {"slowdown": 4.0}]}
EXPERIMENT = {
    "dataset": "brandenburg",
    "dataset_options": {"per_class": 24},
    "model": "smallcnn",
    "model_options": {"norm": "batch"},
    "global_batch": 16,
    "shares": [12, 4],
    "plans": [[3, [8, 8]]],
    "optimizer_options": {"momentum": 0.9},
    "epochs": 1,
}
RECORD = {
    "fingerprint": "0123456789abcdef",
    "experiment": {"dataset": "brandenburg", "seed": 0},
    "platform": PLATFORM["replicas"],
    "mode": "virtual",
    "times": "",
    "shares": [12, 4],
    "lr": 0.1,
    "speeds": [1.0, 0.25],
    "epochs": [{"epoch": 1, "step": 3, "loss": 0.5, "oa": 0.9, "aa": 0.8, "kappa": 0.7}],
    "confusion": [[3, 1], [0, 4]],
}
SIZE = 8
UTM = rasterio.crs.CRS.from_epsg(32633)
TEN_METRES = rasterio.Affine(10, 0, 0, 0, -10, 0)


def cleared(path: Path) -> Path:
    """Take away what lies in a file's place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    return path


def put(folder: Path, name: str, content: bytes) -> Path:
    """Write a file, whatever is in its place."""
    path = cleared(folder / name)
    path.write_bytes(content)
    return path


def misplaced(rng: random.Random, path: Path) -> None:
    """Put something else in a file's place, now and then."""
    how = rng.randrange(60)
    if how > 3:
        return
    path.unlink()
    if how == 0:
        path.mkdir()
    elif how == 1:
        path.symlink_to("/dev/zero")
    elif how == 2:
        path.symlink_to(path)


def text_of(rng: random.Random, content: Any, write: Callable[[Any], str]) -> bytes:
    """Return a tree of settings as text: with an odd value, or with damaged bytes."""
    if rng.random() < 0.6:
        try:
            return write(odd.changed(rng, content)).encode()
        except TypeError:  # keys that JSON cannot write
            return b"{}"
    return odd.damaged(rng, write(content).encode())


def platform_file(rng: random.Random, folder: Path) -> Case:
    """Return a platform file."""
    content = text_of(rng, PLATFORM, yaml.safe_dump)
    path = put(folder, "platform.yaml", content)
    misplaced(rng, path)
    return Case(
        f"platform file {content!r:.300}",
        lambda: hetlib.Platform.from_yaml(path),
        lambda made: made.to_list(),
        path,
        len(content),
    )


def experiment_file(rng: random.Random, folder: Path) -> Case:
    """Return the file of an experiment, or of its plan."""
    broken = rng.choice(["experiment.yaml", "plan.yaml"])
    whole = {"experiment.yaml": EXPERIMENT, "plan.yaml": {"shares": [12, 4]}}
    paths = {name: put(folder, name, yaml.safe_dump(whole[name]).encode()) for name in whole}
    content = text_of(rng, whole[broken], yaml.safe_dump)
    put(folder, broken, content)
    misplaced(rng, paths[broken])
    return Case(
        f"{broken} {content!r:.300}",
        lambda: read_experiment(paths["experiment.yaml"], plan=paths["plan.yaml"]),
        lambda made: made.to_dict(),
        paths[broken],
        len(content),
    )


def stored_plan(rng: random.Random, folder: Path) -> Case:
    """Return a plan in a store: it is read, or made again."""
    file = PlanFile(folder / "store", "a job")
    if (folder / "store").exists():
        shutil.rmtree(folder / "store")
    file.write(PLAN)
    (path,) = (folder / "store").iterdir()
    content = text_of(rng, json.loads(json.dumps(asdict(PLAN))), json.dumps)
    path.write_bytes(content)
    misplaced(rng, path)
    return Case(
        f"stored plan {content!r:.300}",
        lambda: file.read(2, 8),
        lambda made: made and str(made),
        path,
        len(content),
    )


def record(rng: random.Random, folder: Path) -> Case:
    """Return the record of a run: it is read, or made again."""
    content = text_of(rng, RECORD, json.dumps)
    path = put(folder, f"{RECORD['fingerprint']}.json", content)
    misplaced(rng, path)

    def use(made: Any) -> None:
        if made is not None:
            json.dumps(made.to_dict())
            made.scores  # noqa: B018 -- the look is the use

    return Case(
        f"record {content!r:.300}", lambda: hetlib.RunRecord.load(path), use, path, len(content)
    )


def kept(rng: random.Random, folder: Path) -> Case:
    """Return a file of kept results, which names a wrong line."""
    parts = [json.dumps({"made": 1}), json.dumps({"a": [1]}), json.dumps(RECORD)]
    whole = "\n".join([*parts, ""]).encode()
    content = odd.damaged(rng, whole)
    if rng.random() < 0.5:
        parts[2] = text_of(rng, RECORD, json.dumps).decode("utf-8", "replace")
        content = "\n".join([*parts, ""]).encode()
    path = put(folder, "kept_runs.jsonl", content)
    misplaced(rng, path)
    return Case(
        f"kept results {content!r:.300}", lambda: lines.read(path), nothing, path, len(content)
    )


def claims(rng: random.Random, folder: Path) -> Case:
    """Return a register of claims."""
    whole = yaml.safe_load(register.REGISTER.read_text(encoding="utf-8"))
    names = list(whole)[:3]
    content = text_of(rng, {name: whole[name] for name in names}, yaml.safe_dump)
    path = put(folder, "claims.yaml", content)
    misplaced(rng, path)
    return Case(
        f"claims {content!r:.300}", lambda: register.load(path), nothing, path, len(content)
    )


def picture(rng: random.Random, size: int = SIZE) -> bytes:
    """Return a PNG, with pixels of its own."""
    pixels = np.frombuffer(rng.randbytes(size * size * 3), np.uint8).reshape(size, size, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def odd_picture(rng: random.Random) -> bytes:
    """Return an image that is not like the others, or none."""
    how = rng.randrange(6)
    if how == 0:
        return picture(rng, rng.choice([1, 7, 64]))
    if how == 1:
        out = io.BytesIO()
        Image.new(rng.choice(["L", "1", "P", "CMYK", "I;16", "RGBA", "F"]), (SIZE, SIZE)).save(
            out, "TIFF"
        )
        return out.getvalue()
    if how == 2:
        # so many pixels in so few bytes
        out = io.BytesIO()
        Image.new("L", (6000, 6000)).save(out, "PNG")
        return out.getvalue()
    return odd.damaged(rng, picture(rng))


def images(rng: random.Random, folder: Path) -> Case:
    """Return class folders of which one image is odd."""
    root = folder / "tree"
    shutil.rmtree(root, ignore_errors=True)
    for number in range(20):
        path = root / f"c{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(rng))
    broken = root / "c0" / rng.choice(["0.png", "a.tif", "é.png", "a.jpg", "x.txt", ".png"])
    content = odd_picture(rng)
    broken.write_bytes(content)
    misplaced(rng, broken)
    return Case(
        f"image {broken.name} {content[:40]!r}",
        lambda: SceneFolder(root, cache=folder / "cache"),
        lambda made: made[0],
        broken,
        21 * SIZE * SIZE * 3,
    )


def archive(rng: random.Random, folder: Path) -> Case:
    """Return an archive of class folders that is damaged, or has odd members."""
    names = [f"tree/c{number % 2}/{number}.png" for number in range(20)]
    members = {name: picture(rng) for name in names}
    odd_name = rng.choice(
        ["../evil.png", "/evil.png", "tree/c0/a\\b.png", "tree/c0/x.png", "c.png"]
    )
    members[odd_name] = odd_picture(rng)
    if rng.random() < 0.1:
        members["tree/c0/zeros.png"] = bytes(200 * 2**20)
    kind = rng.choice(["a.zip", "a.tar", "a.tar.gz"])
    content = zipped(members) if kind == "a.zip" else tarred(members, kind)
    if rng.random() < 0.4:
        content = odd.damaged(rng, content)
    path = put(folder, kind, content)
    misplaced(rng, path)
    return Case(
        f"{kind} with {odd_name}",
        lambda: SceneFolder(path, cache=folder / "cache"),
        lambda made: made[0],
        path,
        len(content) + 22 * SIZE * SIZE * 3,
    )


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return out.getvalue()


def tarred(members: dict[str, bytes], kind: str) -> bytes:
    """Return a tar archive."""
    out = io.BytesIO()
    mode = "w:gz" if kind.endswith("gz") else "w"
    with tarfile.open(fileobj=out, mode=mode) as written:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            written.addfile(about, io.BytesIO(content))
    return out.getvalue()


def raster(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    """Write (bands, height, width)."""
    cleared(path)
    bands, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width}
    profile |= {"dtype": pixels.dtype, "crs": UTM, "transform": TEN_METRES} | options
    tags = profile.pop("tags", {})
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
        out.update_tags(**tags)
    return path


def rasters(rng: random.Random, folder: Path) -> Case:
    """Return a scene and its labels, of which one is odd."""
    draw = np.random.default_rng(rng.randrange(2**32))
    pixels = draw.integers(1, 200, (3, 60, 60)).astype(rng.choice(["uint8", "uint16", "float32"]))
    classes = np.arange(60)[:, None] // 20 + np.zeros((1, 60))
    labels = classes.astype("uint8")[None] + 1
    options: dict[str, Any] = {}
    of_labels: dict[str, Any] = {}
    how = rng.randrange(9)
    if how == 0:
        labels[:] = rng.choice([0, 255])
    elif how == 1:
        of_labels["tags"] = {f"CLASS_{rng.choice(['²', 'x', '', '-1', '9' * 30])}": "water"}
    elif how == 2:
        pixels = pixels.astype("complex64")
    elif how == 3:
        pixels = np.where(pixels > 100, np.nan, pixels).astype("float32")
    elif how == 4:
        of_labels["transform"] = TEN_METRES @ rasterio.Affine.translation(rng.uniform(0, 9), 0)
    elif how == 5:
        labels = labels[:, : rng.randrange(1, 60), :]
    elif how == 6:
        options["nodata"] = rng.choice([0, 1, 255])
    image = raster(folder / "image.tif", pixels, **options)
    truth = raster(folder / "labels.tif", labels, **of_labels)
    broken = rng.choice([image, truth])
    if how in (7, 8):
        broken.write_bytes(odd.damaged(rng, broken.read_bytes()))
        misplaced(rng, broken)
    window = rng.choice([1, 5, 8, 61])
    return Case(
        f"raster {how} {broken.name} window {window}",
        lambda: LandCoverScene(image, truth, window=window, per_class=8, cache=folder / "cache"),
        lambda made: made[0],
        broken,
        pixels.nbytes,
    )


def sparse(rng: random.Random, folder: Path) -> Case:
    """Return a scene that claims far more pixels than its file has bytes."""
    image = folder / "sparse.tif"
    side = rng.choice([30_000, 60_000])
    cleared(image)
    profile = {"driver": "GTiff", "count": 4, "height": side, "width": side, "dtype": "uint16"}
    with rasterio.open(image, "w", crs=UTM, transform=TEN_METRES, SPARSE_OK=True, **profile):
        pass
    truth = raster(folder / "labels.tif", np.ones((1, 60, 60), "uint8"))
    return Case(
        f"sparse raster of {side} x {side}",
        lambda: LandCoverScene(image, truth, per_class=8, cache=folder / "cache"),
        lambda made: made[0],
        image,
        image.stat().st_size,
    )
