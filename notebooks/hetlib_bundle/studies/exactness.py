"""How far a combined gradient is from that of one process with the same samples."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from hetlib.datasets import ImageDataset


def gradient(
    network: nn.Module,
    data: ImageDataset,
    part: np.ndarray,
) -> torch.Tensor:
    """Return the gradient of the mean loss of some samples, in one vector.

    Args:
        network: In float64.
        data: Where the samples are from.
        part: Their numbers.

    Returns:
        (parameters,) float64.
    """
    images, labels = data.gather(part)
    outputs = network(images.double())
    loss = F.cross_entropy(outputs, labels)
    found = torch.autograd.grad(loss, list(network.parameters()))
    return torch.cat([each.flatten() for each in found])


def deviations(
    network: nn.Module,
    data: ImageDataset,
    order: np.ndarray,
    shares: Sequence[int],
    weights: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Compare combined gradients with the one-process gradient of the same samples.

    Args:
        network: In float64, without BatchNorm.
        data: Where the samples are from.
        order: Their numbers, one global batch after the other.
        shares: Samples of each replica in a global batch.
        weights: By strategy, those of the replicas' gradients, (replicas,).

    Returns:
        One row a batch and strategy: ``batch``, ``strategy``, and ``deviation``, the norm of the
        difference over that of the one-process gradient.
    """
    size = sum(shares)
    ends = np.cumsum(shares)[:-1]
    rows = []
    for number in range(len(order) // size):
        drawn = order[number * size :][:size]
        whole = gradient(network, data, drawn)
        own = [gradient(network, data, part) for part in np.split(drawn, ends)]
        parts = torch.stack(own)  # (replicas, parameters)
        for name, each in weights.items():
            combined = torch.from_numpy(each) @ parts
            deviation = (combined - whole).norm() / whole.norm()
            row = {
                "batch": number,
                "strategy": name,
                "deviation": deviation.item(),
            }
            rows.append(row)
    return pd.DataFrame(rows)
