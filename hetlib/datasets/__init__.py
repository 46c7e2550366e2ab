"""What is learnt from: labelled images, by name or from the reader's own files."""

import importlib
import pkgutil

from hetlib.datasets.catalog import DATASETS, load_dataset, register
from hetlib.datasets.eurosat import EuroSAT
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.imbalance import class_counts, class_weights, imbalance
from hetlib.datasets.indian_pines import IndianPines
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.polygons import PolygonScene
from hetlib.datasets.scenefolder import SceneFolder

__all__ = [
    "DATASETS",
    "EuroSAT",
    "ImageDataset",
    "IndianPines",
    "LandCoverScene",
    "PolygonScene",
    "SceneFolder",
    "class_counts",
    "class_weights",
    "imbalance",
    "load_dataset",
    "register",
]

# A data set with a file of its own registers itself there: each file of this folder is imported.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
