"""Data-parallel training on replicas of different speed, with gradients weighted by the samples.

Each public name is loaded on its first use (PEP 562): importing torch takes seconds, and what needs
an extra package must not be in the way of what does not.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hetlib.balanced.accumulation import micro_batches
    from hetlib.balanced.batches import collate
    from hetlib.balanced.batchnorm import convert_batchnorm
    from hetlib.balanced.checks import check_weights
    from hetlib.balanced.counting import announce
    from hetlib.balanced.gradient import check_gradient
    from hetlib.balanced.joining import JoinedCounts
    from hetlib.balanced.loader import BalancedLoader
    from hetlib.balanced.loss import balance
    from hetlib.balanced.pooling import pool_batchnorm
    from hetlib.balanced.sampler import BalancedSampler
    from hetlib.balanced.weights import effective_batch, noise_scale
    from hetlib.errors import ReplicaError
    from hetlib.mapping.predict import predict_map
    from hetlib.planning.partition import Partition, partition
    from hetlib.planning.planner import plan
    from hetlib.planning.rebalance import Rebalancer
    from hetlib.planning.speed import SpeedModel
    from hetlib.replicas.job import JobReplicas
    from hetlib.replicas.platform import Platform, Replica
    from hetlib.replicas.processes import Replicas
    from hetlib.replicas.virtual import VirtualReplicas
    from hetlib.training.experiment import Experiment
    from hetlib.training.planning import measure, plan_experiment
    from hetlib.training.records import RunRecord
    from hetlib.training.run import train
    from hetlib.training.strategies import STRATEGIES

# Public name: the module that defines it.
_MODULES = {
    "STRATEGIES": "hetlib.training.strategies",
    "BalancedLoader": "hetlib.balanced.loader",
    "BalancedSampler": "hetlib.balanced.sampler",
    "Experiment": "hetlib.training.experiment",
    "JobReplicas": "hetlib.replicas.job",
    "JoinedCounts": "hetlib.balanced.joining",
    "Partition": "hetlib.planning.partition",
    "Platform": "hetlib.replicas.platform",
    "Rebalancer": "hetlib.planning.rebalance",
    "Replica": "hetlib.replicas.platform",
    "ReplicaError": "hetlib.errors",
    "Replicas": "hetlib.replicas.processes",
    "RunRecord": "hetlib.training.records",
    "SpeedModel": "hetlib.planning.speed",
    "VirtualReplicas": "hetlib.replicas.virtual",
    "announce": "hetlib.balanced.counting",
    "balance": "hetlib.balanced.loss",
    "check_gradient": "hetlib.balanced.gradient",
    "check_weights": "hetlib.balanced.checks",
    "collate": "hetlib.balanced.batches",
    "convert_batchnorm": "hetlib.balanced.batchnorm",
    "effective_batch": "hetlib.balanced.weights",
    "measure": "hetlib.training.planning",
    "micro_batches": "hetlib.balanced.accumulation",
    "noise_scale": "hetlib.balanced.weights",
    "partition": "hetlib.planning.partition",
    "plan": "hetlib.planning.planner",
    "plan_experiment": "hetlib.training.planning",
    "pool_batchnorm": "hetlib.balanced.pooling",
    "predict_map": "hetlib.mapping.predict",
    "train": "hetlib.training.run",
}

__all__ = [
    "STRATEGIES",
    "BalancedLoader",
    "BalancedSampler",
    "Experiment",
    "JobReplicas",
    "JoinedCounts",
    "Partition",
    "Platform",
    "Rebalancer",
    "Replica",
    "ReplicaError",
    "Replicas",
    "RunRecord",
    "SpeedModel",
    "VirtualReplicas",
    "announce",
    "balance",
    "check_gradient",
    "check_weights",
    "collate",
    "convert_batchnorm",
    "effective_batch",
    "measure",
    "micro_batches",
    "noise_scale",
    "partition",
    "plan",
    "plan_experiment",
    "pool_batchnorm",
    "predict_map",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hetlib' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
