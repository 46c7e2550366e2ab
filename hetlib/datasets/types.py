"""Types of the options that data sets share."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

# A path.
File: TypeAlias = str | os.PathLike[str]

# Images (n, bands, height, width) and labels (n,).
Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]

# Names of bands or classes; None is the data set's own choice.
Names: TypeAlias = Sequence[str] | None

# Names of the classes to use, or their names by number where the file has none; None is all.
Classes: TypeAlias = Sequence[str] | Mapping[int, str] | None

# Lowest and highest value that is data; None is no limit.
Range: TypeAlias = Sequence[float] | None

# Parts of the samples that replicas own, see `hetlib.datasets.owners`; False is none.
Shards: TypeAlias = bool | str

# Takes an item, ``{"image": ..., "label": ...}``, and returns it changed.
Transforms: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]] | None

# The number that stands for no data, or that of each band; None where there is none.
Nodata: TypeAlias = float | Sequence[float | None] | None
