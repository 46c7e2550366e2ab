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
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

# relative error of a gradient, by the weights' precision
_ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-3}


class SelfCheck:
    """Compares the first reduced gradient of a model with one process that sees the whole global batch.

    Rank 0 collects the inputs and the gradient of the outputs of each replica, weighted as they
    should be, runs the model once more on all of them together, and compares. All replicas raise
    ``RuntimeError`` when it differs. The loss is seen through that gradient alone, so a loss that
    is wrong in itself passes.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        if drawing := [
            name
            for name, m in model.module.named_modules()
            if isinstance(m, _DropoutNd) and m.p > 0
        ]:
            raise ValueError(
                f"`check` cannot repeat layers that draw at random: {drawing}; set their p to 0 for it."
            )
        self.model, self.group = model, model.process_group
        # inputs, and gradients of the outputs
        self.passes: list[tuple[Any, list[torch.Tensor]]] = []
        self.queued = self.done = self.rough = False

    def watch(self, inputs: Any, keywords: Any, outputs: Any, factor: Any) -> Any:
        """Note a pass of the first step and the gradients that come back through its outputs."""
        if self.done:
            return outputs
        leaves = differentiable(outputs)
        gradients = [torch.zeros_like(leaf, device="cpu") for leaf in leaves]
        taken = tree_map_only(torch.Tensor, lambda x: x.detach().cpu().clone(), (inputs, keywords))
        self.passes.append((taken, gradients))
        self.rough = torch.is_autocast_enabled(leaves[0].device.type)

        def note(gradient: torch.Tensor, place: int) -> None:
            share = float(factor() if callable(factor) else factor) / dist.get_world_size(
                self.group
            )
            if share:
                gradients[place] = gradient.cpu() * share
            if self.model.require_backward_grad_sync and not self.queued:
                self.queued = True
                # Once more from within: DDP queues the end of its reduction later than this.
                engine = Variable._execution_engine
                engine.queue_callback(lambda: engine.queue_callback(self._compare))

        for place, leaf in enumerate(leaves):
            leaf.register_hook(partial(note, place=place))
        return outputs

    def _compare(self) -> None:
        leads, finding = dist.get_rank(self.group) == 0, [""]
        gathered: Any = [None] * dist.get_world_size(self.group) if leads else None
        dist.gather_object(self.passes, gathered, group=self.group, group_dst=0)
        if leads:
            try:
                finding = [self._explain(list(itertools.chain(*gathered)))]
            except Exception as error:  # the others wait for an answer, whatever it is
                finding = [f"`check` could not run the global batch in one process: {error}"]
        dist.broadcast_object_list(finding, group=self.group, group_src=0)
        self.done = True
        self.passes.clear()
        if finding[0]:
            raise RuntimeError(finding[0])

    def _explain(self, passes: list[tuple[Any, list[torch.Tensor]]]) -> str:
        """Return what is wrong with the reduced gradient, or nothing."""
        network = copy.deepcopy(self.model.module)
        layers = {
            name: layer for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)
        }
        for layer in layers.values():  # synchronised ones too: nobody else takes part in this pass
            layer.forward = partial(_BatchNorm.forward, layer)  # type: ignore[method-assign]
        used, copies = (
            [p for p in m.parameters() if p.requires_grad] for m in (self.model.module, network)
        )
        (inputs, keywords), gradients = tree_map(
            lambda *p: (
                torch.cat(p).to(copies[0].device)
                if isinstance(p[0], torch.Tensor) and p[0].dim()
                else p[0]
            ),
            *passes,
        )
        with torch.enable_grad():
            outputs = differentiable(network(*inputs, **keywords))
            found = torch.autograd.grad(outputs, copies, gradients, materialize_grads=True)
        expected = torch.cat([g.flatten() for g in found]).double()
        reduced = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used]
        ).double()
        error = float((reduced - expected).norm() / expected.norm().clamp(min=1e-300))
        allowed = 0.05 if self.rough else _ALLOWED.get(copies[0].dtype, 0.05)
        if error <= allowed:
            return ""
        local = [name for name, layer in layers.items() if not hasattr(layer, "process_group")]
        reason = f"The BatchNorm layers {local} see one replica's samples at a time; try hetlib.convert_batchnorm."
        if not local:
            reason = "Does anything else scale gradients (a hook of DDP or of a weight), or are they not zero at first?"
        return f"the first reduced gradient is {error:.1e} off that of one process (allowed: {allowed:.0e}). {reason}"


def check_weights(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Raise ``RuntimeError`` on every replica when a weight is not the same on all of them, to the bit."""
    named = dict(model.named_parameters())
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    # Two numbers a tensor are reduced: the sum of its bit patterns, which no rounding hides, and
    # minus that.
    sums = torch.stack(
        [w.detach().view(kinds[w.element_size()]).sum(dtype=torch.int64) for w in named.values()]
    )
    bounds = torch.stack([sums, -sums]).to(
        sums.device if dist.get_backend(group) == "nccl" else "cpu"
    )
    dist.all_reduce(bounds, dist.ReduceOp.MAX, group=group)
    if differing := [
        name
        for name, same in zip(named, (bounds[0] == -bounds[1]).tolist(), strict=True)
        if not same
    ]:
        found = f"the replicas' weights differ in {len(differing)} of {len(named)} tensors, e.g. {differing[:3]}"
        raise RuntimeError(
            f"{found}; start all from the same, and let only the reduced gradient change them."
        )


def differentiable(outputs: Any) -> list[torch.Tensor]:
    """Return the tensors in a model's outputs that a gradient can come back through."""
    return [
        leaf
        for leaf in tree_leaves(outputs)
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad
    ]
