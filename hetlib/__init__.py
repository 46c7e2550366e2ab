"""Data-parallel training on replicas of different speed, with gradients weighted by the samples processed."""
# ruff: noqa: F401

import importlib
from typing import TYPE_CHECKING

# Now, not on first use: whoever imports the module `partition` first sets that name here to the module, and
# this line then to the function. Later imports of the module leave it alone.
from .partition import Partition, partition

if TYPE_CHECKING:
    from .batchnorm import convert_batchnorm, pool_batchnorm
    from .checks import check_weights
    from .ddp import announce, balance
    from .experiment import STRATEGIES, Experiment
    from .gradient import effective_batch, noise_scale
    from .planner import measure, plan, plan_experiment
    from .platform import Platform, Replica
    from .rebalance import Rebalancer
    from .records import RunRecord
    from .replicas import ReplicaError, Replicas
    from .runs import VirtualReplicas
    from .sampler import BalancedSampler, collate
    from .speed import SpeedModel

_PUBLIC = {
    "batchnorm": ["convert_batchnorm", "pool_batchnorm"],
    "checks": ["check_weights"],
    "ddp": ["announce", "balance"],
    "experiment": ["STRATEGIES", "Experiment"],
    "gradient": ["effective_batch", "noise_scale"],
    "partition": ["Partition", "partition"],
    "platform": ["Platform", "Replica"],
    "rebalance": ["Rebalancer"],
    "records": ["RunRecord"],
    "replicas": ["ReplicaError", "Replicas"],
    "planner": ["measure", "plan", "plan_experiment"],
    "runs": ["VirtualReplicas"],
    "sampler": ["BalancedSampler", "collate"],
    "speed": ["SpeedModel"],
}
_MODULES = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = list(_MODULES)

if not TYPE_CHECKING:

    def __getattr__(name):
        """Load a public name on its first use: what imports torch takes seconds."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(importlib.import_module(f"hetlib.{_MODULES[name]}"), name))

    def __dir__():
        return {*globals(), *_MODULES}
