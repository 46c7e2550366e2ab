"""Data-parallel training on replicas of different speed, with gradients weighted by the samples processed."""

from .experiment import STRATEGIES, Experiment
from .gradient import balance, effective_batch
from .partition import Partition, partition
from .platform import Platform, Replica
from .records import RunRecord
from .replicas import ReplicaError, Replicas
from .runs import VirtualReplicas, measure, plan
from .sampler import BalancedSampler
from .speed import SpeedModel

__all__ = [
    "STRATEGIES",
    "BalancedSampler",
    "Experiment",
    "Partition",
    "Platform",
    "Replica",
    "ReplicaError",
    "Replicas",
    "RunRecord",
    "SpeedModel",
    "VirtualReplicas",
    "balance",
    "effective_batch",
    "measure",
    "partition",
    "plan",
]
