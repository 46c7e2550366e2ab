"""The public names; type checkers read them here, and `hetlib` loads them from here."""

from .batchnorm import convert_batchnorm, pool_batchnorm
from .checks import check_weights
from .ddp import announce, balance
from .experiment import STRATEGIES, Experiment
from .gradient import effective_batch, noise_scale
from .partition import Partition, partition
from .planner import measure, plan, plan_experiment
from .platform import Platform, Replica
from .rebalance import Rebalancer
from .records import RunRecord
from .replicas import ReplicaError, Replicas
from .runs import VirtualReplicas
from .sampler import BalancedSampler, collate
from .speed import SpeedModel

__all__ = [
    "STRATEGIES",
    "BalancedSampler",
    "Experiment",
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
    "check_weights",
    "collate",
    "convert_batchnorm",
    "effective_batch",
    "measure",
    "noise_scale",
    "partition",
    "plan",
    "plan_experiment",
    "pool_batchnorm",
]
