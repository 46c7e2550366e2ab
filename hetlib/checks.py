"""Checks that a job can make of itself: the first gradient against one process, and equal weights on every replica."""

import copy
import itertools
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.variable import Variable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["SelfCheck", "check_weights"]

_ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-3}  # relative error of a gradient, by the weights' precision


class SelfCheck:
    """Compares the first reduced gradient of a model with one process that sees the whole global batch.

    Rank 0 collects the inputs and the gradient of the outputs of each replica, weighted as they should be, runs
    the model once more on all of them together, and compares. All replicas raise ``RuntimeError`` when it differs.
    The loss is seen through that gradient alone, so a loss that is wrong in itself passes. Costs one step on the
    global batch on rank 0's device, once.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        drawing = [name for name, m in model.module.named_modules() if isinstance(m, _DropoutNd) and m.p > 0]
        if drawing:
            raise ValueError(f"`check` cannot repeat layers that draw at random: {drawing}; set their p to 0 for it.")
        self.model = model
        self.passes: list[tuple[Any, list[torch.Tensor]]] = []  # inputs, and gradients of the outputs
        self.queued = self.done = self.rough = False

    def watch(self, inputs: Any, keywords: Any, outputs: Any, factor: Any) -> Any:
        """Note a pass of the first step and the gradients that come back through its outputs."""
        if self.done:
            return outputs
        leaves = _differentiable(outputs)
        gradients = [torch.zeros_like(leaf, device="cpu") for leaf in leaves]
        self.passes.append((tree_map(_kept, (inputs, keywords)), gradients))
        self.rough = torch.is_autocast_enabled(leaves[0].device.type)

        def note(gradient: torch.Tensor, place: int) -> None:
            share = float(factor() if callable(factor) else factor) / dist.get_world_size(self.model.process_group)
            if share:
                gradients[place] = _kept(gradient) * share
            if self.model.require_backward_grad_sync and not self.queued:
                self.queued = True
                # Once more from within: DDP queues the end of its reduction later than this.
                engine = Variable._execution_engine
                engine.queue_callback(lambda: engine.queue_callback(self._compare))

        for place, leaf in enumerate(leaves):
            leaf.register_hook(partial(note, place=place))
        return outputs

    def _compare(self) -> None:
        group = self.model.process_group
        leads = dist.get_rank(group) == 0
        gathered: Any = [None] * dist.get_world_size(group) if leads else None
        dist.gather_object(self.passes, gathered, group=group, group_dst=0)
        finding = [self._explain(list(itertools.chain(*gathered))) if leads else None]
        dist.broadcast_object_list(finding, group=group, group_src=0)
        self.done = True
        self.passes.clear()
        if finding[0]:
            raise RuntimeError(finding[0])

    def _explain(self, passes: list[tuple[Any, list[torch.Tensor]]]) -> str:
        """Return what is wrong with the reduced gradient, or nothing."""
        network = copy.deepcopy(self.model.module)
        network.zero_grad()
        for module in network.modules():
            if isinstance(module, _BatchNorm):  # synchronised ones too: nobody else takes part in this pass
                module.forward = partial(_BatchNorm.forward, module)  # type: ignore[method-assign]
        device = next(network.parameters()).device
        (inputs, keywords), gradients = tree_map(partial(_joined, device), *passes)
        with torch.enable_grad():
            torch.autograd.backward(_differentiable(network(*inputs, **keywords)), gradients)
        pairs = list(zip(self.model.module.parameters(), network.parameters(), strict=True))
        apart = sum(float((_gradient(a) - _gradient(b)).double().square().sum()) for a, b in pairs)
        error = (apart / max(sum(float(_gradient(b).double().square().sum()) for _, b in pairs), 1e-300)) ** 0.5
        allowed = 0.05 if self.rough else _ALLOWED.get(next(network.parameters()).dtype, 0.05)
        if error <= allowed:
            return ""
        layers = [(n, m) for n, m in self.model.module.named_modules() if isinstance(m, _BatchNorm)]
        local = [name for name, layer in layers if not hasattr(layer, "process_group")]
        reason = (
            f"The BatchNorm layers {local} see one replica's samples at a time; hetlib.convert_batchnorm mends that."
            if local
            else "Does anything else scale or change gradients (a communication hook, a hook on a parameter), and are "
            "the gradients zero before the first step?"
        )
        return f"the first reduced gradient is {error:.1e} off that of one process (allowed: {allowed:.0e}). {reason}"


def check_weights(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Raise ``RuntimeError`` on every replica when a weight is not the same on all of them, to the bit.

    Reads each weight once and reduces two numbers a tensor: the sum of the bit patterns, which no rounding hides.
    """
    named = dict(model.named_parameters())
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = torch.stack([w.detach().view(kinds[w.element_size()]).sum(dtype=torch.int64) for w in named.values()])
    bounds = torch.stack([sums, -sums])
    bounds = bounds if dist.get_backend(group) == "nccl" else bounds.cpu()
    dist.all_reduce(bounds, dist.ReduceOp.MAX, group=group)
    differing = [name for name, differs in zip(named, (bounds[0] != -bounds[1]).tolist(), strict=True) if differs]
    if differing:
        raise RuntimeError(
            f"the replicas' weights differ in {len(differing)} of {len(named)} tensors, e.g. {differing[:3]}; start "
            "all from the same weights, and let nothing but the reduced gradient change them."
        )


def _kept(leaf: Any) -> Any:
    return leaf.detach().cpu().clone() if isinstance(leaf, torch.Tensor) else leaf


def _joined(device: torch.device, *parts: Any) -> Any:
    return torch.cat(parts).to(device) if isinstance(parts[0], torch.Tensor) and parts[0].dim() else parts[0]


def _differentiable(outputs: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor) and leaf.requires_grad]


def _gradient(weight: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad
