"""Checks that a job can make of itself: the first gradient, and equal weights on every replica.

The first reduced gradient is compared with that of one process on the whole global batch.
"""

import copy
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.variable import Variable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from hetlib.balanced.counts import Factor

# relative error of a gradient, by the weights' precision
_ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-3}
# of any other precision, and of passes under autocast
_ALLOWED_ROUGH = 0.05

# integers whose bit patterns are those of weights of so many bytes
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class Pass(NamedTuple):
    """What went through a model in a pass, and what came back; all on the CPU."""

    inputs: tuple[Any, ...]
    keywords: dict[str, Any]
    # of the outputs that need one, weighted by w_r as they should be
    gradients: list[torch.Tensor]


class SelfCheck:
    """Compares the first reduced gradient of a model with one process on the whole global batch.

    Rank 0 collects the inputs and the gradient of the outputs of each replica, weighted as they
    should be, runs the model once more on all of them together, and compares. All replicas raise
    ``RuntimeError`` when it differs. The loss is seen through that gradient alone, so a loss that
    is wrong in itself passes.

    Args:
        model: The one to watch, with random layers set to draw nothing.

    Raises:
        ValueError: The model has layers that draw at random.
    """

    def __init__(self, model: DistributedDataParallel) -> None:
        drawing = _random_layers(model.module)
        if drawing:
            raise ValueError(
                f"`check` cannot repeat layers that draw at random: {drawing}; "
                "set their p to 0 for it."
            )
        self.model = model
        self.group = model.process_group
        # those of this replica in the first step
        self.passes: list[Pass] = []
        # whether the comparison waits for the end of the reduction
        self.queued = False
        self.done = False
        # whether passes are made under autocast
        self.rough = False

    def watch(
        self,
        inputs: tuple[Any, ...],
        keywords: dict[str, Any],
        outputs: Any,
        factor: Factor,
    ) -> Any:
        """Note a pass of the first step and the gradients that come back through its outputs.

        Args:
            inputs: Positional arguments of the pass.
            keywords: The other arguments.
            outputs: What the model returned, already weighted; any pytree.
            factor: What their gradient is multiplied by.

        Returns:
            ``outputs``.
        """
        if self.done:
            return outputs
        leaves = differentiable(outputs)
        # zero, unless the backward pass says otherwise
        gradients = [torch.zeros_like(leaf, device="cpu") for leaf in leaves]
        taken, named = tree_map_only(torch.Tensor, _kept, (inputs, keywords))
        self.passes.append(Pass(taken, named, gradients))
        self.rough = torch.is_autocast_enabled(leaves[0].device.type)

        for place, leaf in enumerate(leaves):
            note = partial(self._note, gradients=gradients, place=place, factor=factor)
            _call_with_gradient(leaf, note)
        return outputs

    def _note(
        self, gradient: torch.Tensor, *, gradients: list[torch.Tensor], place: int, factor: Factor
    ) -> None:
        """Keep an output's gradient, and have it compared behind the step's last pass."""
        number = factor() if callable(factor) else factor
        share = float(number) / dist.get_world_size(self.group)
        # of an empty batch it may be NaN
        if share:
            gradients[place] = gradient.cpu() * share
        if self.model.require_backward_grad_sync and not self.queued:
            self.queued = True
            # Once more from within: DDP queues the end of its reduction later than this.
            _call_after_backward(partial(_call_after_backward, self._compare))

    def _compare(self) -> None:
        """Compare on rank 0, and raise on all what it finds."""
        finding = ""
        passes = self._collect()
        if passes is not None:
            try:
                finding = self._explain(passes)
            except Exception as error:  # the others wait for an answer, whatever it is
                finding = f"`check` could not run the global batch in one process: {error}"
        answer = [finding]
        dist.broadcast_object_list(answer, group=self.group, group_src=0)

        self.done = True
        self.passes.clear()
        if answer[0]:
            raise RuntimeError(answer[0])

    def _collect(self) -> list[Pass] | None:
        """Return the passes of all replicas, rank by rank, on rank 0; ``None`` elsewhere."""
        if dist.get_rank(self.group) != 0:
            dist.gather_object(self.passes, None, group=self.group, group_dst=0)
            return None
        by_rank: list[Any] = [None] * dist.get_world_size(self.group)
        dist.gather_object(self.passes, by_rank, group=self.group, group_dst=0)
        return list(itertools.chain(*by_rank))

    def _explain(self, passes: list[Pass]) -> str:
        """Return what is wrong with the reduced gradient, or nothing."""
        network = copy.deepcopy(self.model.module)
        layers = _make_local(network)
        expected = _replay(network, passes)
        reduced = _reduced_gradient(self.model.module)

        difference = (reduced - expected).norm()
        error = float(difference / expected.norm().clamp(min=1e-300))
        allowed = _ALLOWED_ROUGH
        if not self.rough:
            allowed = _ALLOWED.get(_trained(network)[0].dtype, _ALLOWED_ROUGH)
        if error <= allowed:
            return ""
        return (
            f"the first reduced gradient is {error:.1e} off that of one process "
            f"(allowed: {allowed:.0e}). {_likely_reason(layers)}"
        )


def _random_layers(network: nn.Module) -> list[str]:
    """Return the names of the layers that draw at random."""
    return [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, _DropoutNd) and layer.p > 0
    ]


def _kept(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy on the CPU that later changes do not reach."""
    return tensor.detach().cpu().clone()


def _call_with_gradient(tensor: torch.Tensor, action: Callable[[torch.Tensor], None]) -> None:
    """Have ``action`` called with the gradient of a tensor, whenever there is one."""
    register: Any = tensor.register_hook
    register(action)


def _call_after_backward(action: Callable[[], None]) -> None:
    """Have ``action`` called behind what is already to be done when this backward pass ends."""
    engine: Any = Variable._execution_engine
    engine.queue_callback(action)


def _trained(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights that training changes."""
    return [weight for weight in network.parameters() if weight.requires_grad]


def _make_local(network: nn.Module) -> dict[str, nn.Module]:
    """Make BatchNorm layers take their statistics from this process alone, and return them by name.

    Synchronised ones too: nobody else takes part in the pass.
    """
    layers: dict[str, nn.Module] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, _BatchNorm):
            layer.forward = partial(_BatchNorm.forward, layer)  # type: ignore[method-assign]
            layers[name] = layer
    return layers


def _replay(network: nn.Module, passes: list[Pass]) -> torch.Tensor:
    """Return the gradient of a network that sees all passes at once, ``(weights,)``, float64."""
    weights = _trained(network)
    join = partial(_join, device=weights[0].device)
    whole: Pass = tree_map(join, *passes)
    with torch.enable_grad():
        outputs = differentiable(network(*whole.inputs, **whole.keywords))
        found = torch.autograd.grad(outputs, weights, whole.gradients, materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found]).double()


def _join(*parts: Any, device: torch.device) -> Any:
    """Return the rows of all parts as one tensor; what has no rows is the same in each part."""
    first = parts[0]
    if isinstance(first, torch.Tensor) and first.dim():
        return torch.cat(parts).to(device)
    return first


def _reduced_gradient(network: nn.Module) -> torch.Tensor:
    """Return the gradient that a network's weights carry, ``(weights,)``, float64."""
    found = []
    for weight in _trained(network):
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        found.append(gradient.flatten())
    return torch.cat(found).double()


def _likely_reason(layers: dict[str, nn.Module]) -> str:
    """Return what most likely makes a gradient differ, from the BatchNorm layers of the network."""
    local = [name for name, layer in layers.items() if not hasattr(layer, "process_group")]
    if local:
        return (
            f"The BatchNorm layers {local} see one replica's samples at a time; "
            "try hetlib.convert_batchnorm."
        )
    return (
        "Does anything else scale gradients (a hook of DDP or of a weight), "
        "or are they not zero at first?"
    )


def check_weights(model: nn.Module, group: dist.ProcessGroup | None = None) -> None:
    """Compare the weights of all replicas, to the bit; every replica calls it.

    Args:
        model: This replica's.
        group: The replicas; ``None`` is all of the job.

    Raises:
        RuntimeError: A weight is not the same on all of them; raised on every replica.
    """
    named = dict(model.named_parameters())
    # Two numbers a tensor are reduced: the sum of its bit patterns, which no rounding hides, and
    # minus that.
    sums = torch.stack([_bit_sum(weight) for weight in named.values()])
    device = sums.device if dist.get_backend(group) == "nccl" else "cpu"
    bounds = torch.stack([sums, -sums]).to(device)
    dist.all_reduce(bounds, dist.ReduceOp.MAX, group=group)

    same = (bounds[0] == -bounds[1]).tolist()
    differing = [name for name, equal in zip(named, same, strict=True) if not equal]
    if differing:
        raise RuntimeError(
            f"the replicas' weights differ in {len(differing)} of {len(named)} tensors, "
            f"e.g. {differing[:3]}; start all from the same, "
            "and let only the reduced gradient change them."
        )


def _bit_sum(weight: torch.Tensor) -> torch.Tensor:
    """Return the sum of the numbers that a tensor's bit patterns are as integers, int64."""
    integers = _INTEGERS[weight.element_size()]
    return weight.detach().view(integers).sum(dtype=torch.int64)


def differentiable(outputs: Any) -> list[torch.Tensor]:
    """Return the tensors in a model's outputs that a gradient can come back through.

    Args:
        outputs: Any pytree.
    """
    return [
        leaf
        for leaf in tree_leaves(outputs)
        if isinstance(leaf, torch.Tensor) and leaf.requires_grad
    ]
