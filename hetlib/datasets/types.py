"""Types of the options that data sets share."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

File = str | os.PathLike[str]
Batch = tuple[torch.Tensor, torch.Tensor]  # images (n, bands, height, width), labels (n,)
Names = Sequence[str] | None
Range = Sequence[float] | None  # lowest and highest value that is data
Classes = Sequence[str] | Mapping[int, str] | None
Transforms = Callable[[dict[str, Any]], dict[str, Any]] | None
