"""What one replica trains with: data, network, optimizer, schedule."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hetlib.datasets.images import ImageDataset
from hetlib.models.registry import build_model
from hetlib.replicas.platform import Platform
from hetlib.training.experiment import Experiment

# renamed then
_SYNC = "forward_sync_buffers" if torch.__version__ >= "2.14" else "broadcast_buffers"


# In training nothing reads the buffers, so they are sent before an evaluation instead of at each
# step.
DDP_OPTIONS: dict[str, Any] = {_SYNC: False, "gradient_as_bucket_view": True}


@dataclass(frozen=True)
class Job:
    """What the replicas are sent: the experiment, and what was decided about it before."""

    experiment: Experiment
    platform: Platform
    shares: tuple[int, ...]
    speeds: tuple[float, ...]
    # samples of each replica's pass: a larger share is taken in several, accumulated
    most: tuple[int, ...]
    keep_weights: bool
    models: Any = None  # step model of each replica, for rebalancing


def build_network(experiment: Experiment, data: ImageDataset) -> nn.Module:
    shape: dict[str, Any] = {
        "bands": len(data.bands),
        "classes": len(data.classes),
        "size": data.image_shape[1],
    }
    return build_model(experiment.model, seed=experiment.seed, **shape, **experiment.model_options)


def build_optimizer(experiment: Experiment, network: nn.Module, lr: float) -> torch.optim.Optimizer:
    kind = getattr(torch.optim, experiment.optimizer)
    options = dict(experiment.optimizer_options or {}, lr=lr)
    try:
        return kind(network.parameters(), **options, fused=True)
    except (TypeError, RuntimeError):  # not every optimizer has a fused form
        return kind(network.parameters(), **options)


def build_schedule(experiment: Experiment, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    kinds, lr = torch.optim.lr_scheduler, optimizer.param_groups[0]["lr"]
    if experiment.schedule == "onecycle":
        return kinds.OneCycleLR(
            optimizer, lr, max(steps + 1, 6), pct_start=0.2, cycle_momentum=False
        )
    cosine = experiment.schedule == "cosine"
    return (
        kinds.CosineAnnealingLR(optimizer, steps)
        if cosine
        else kinds.ConstantLR(optimizer, factor=1.0)
    )
