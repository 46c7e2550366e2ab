"""What is learnt from: labelled images, by name or from the reader's own files."""

from hetlib.datasets.catalog import DATASETS, load_dataset
from hetlib.datasets.eurosat import EuroSAT
from hetlib.datasets.images import ImageDataset
from hetlib.datasets.landcover import LandCoverScene
from hetlib.datasets.scenefolder import SceneFolder

__all__ = [
    "DATASETS",
    "EuroSAT",
    "ImageDataset",
    "LandCoverScene",
    "SceneFolder",
    "load_dataset",
]
