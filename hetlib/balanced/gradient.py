"""A check that a job can make of itself: its first gradient against that of one process."""

import pickle
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from hetlib.balanced.arguments import require_model
from hetlib.balanced.batches import moved
from hetlib.balanced.counting import Group, number_of, world_of
from hetlib.balanced.loss import balanced_loader
from hetlib.balanced.reference import (
    LossOf,
    Share,
    gradient_of,
    likely_reason,
    reduced_gradient,
    relative_error,
    trained_weights,
    varies,
)
from hetlib.errors import wrong
from hetlib.inputs import number, one_of, optional

# relative error of a gradient, by the weights' precision
_ALLOWED = {torch.float64: 1e-9, torch.float32: 1e-3}
# of any other precision
_ALLOWED_ROUGH = 0.05


def check_gradient(
    model: nn.Module,
    loss_of: LossOf,
    batch: Any,
    *,
    loader: Any | None = None,
    count: float | torch.Tensor | None = None,
    reduction: str = "mean",
    tolerance: float | None = None,
    group: Group = None,
) -> None:
    r"""Compare the first reduced gradient with that of one process on the whole global batch.

    Every replica calls it behind the first backward pass, before the optimizer's step (and behind
    ``GradScaler.unscale_``). Rank 0 gets all batches and computes :math:`\sum_r (n_r / n) \nabla
    L_r` in the network inside the wrapper, one replica's batch after another; the network, its
    gradients and its buffers stay as they are. Where BatchNorm goes over all replicas, each
    computes its own part at the same time, as in training. Where it takes each replica's samples by
    themselves, so does the reference: the job is accepted, with a warning that says so.

    Args:
        model: The one that was trained, in its wrapper.
        loss_of: Called with a network and a batch; returns the loss over all of it, as the job
            computes it (the mean, or the sum), not balanced. A batch that goes through in parts may
            go through whole, but for BatchNorm of each replica's own.
        batch: This replica's, of the step.
        loader: The `BalancedLoader` that handed the batch out last.
        count: Or what this replica's loss is the mean over.
        reduction: ``"mean"``, or ``"sum"`` for a loss that is a sum: no counts.
        tolerance: Relative error that is allowed; ``None`` is 1e-9 for float64, 1e-3 for float32
            and 0.05 for others. Compressed gradients need more.
        group: The replicas; ``None`` is DDP's group, else all of the job.

    Raises:
        ValueError: An argument is not allowed, or layers draw at random, which cannot be repeated,
            or weights are sharded.
        RuntimeError: The gradient is another one, or could not be computed; the same on every
            replica, with the likely reason. But a ``loss_of`` that raises where BatchNorm goes over
            all replicas leaves the others waiting in these layers until their time-out.

    Example:
        loss = balance(loss_of(model, batch), loader)
        loss.backward()
        check_gradient(model, loss_of, batch, loader=loader)
    """
    require_model(model)
    if not callable(loss_of):
        raise wrong("loss_of", loss_of, "a function of a network and a batch that returns the loss")
    one_of("reduction", reduction, ("mean", "sum"))
    tolerance = optional(number, "tolerance", tolerance, low=0)
    network, own_group = _unwrapped(model)
    if group is None:
        group = own_group
    _require_whole(network)
    _require_repeatable(network)
    own = _own_count(loader, count, reduction)
    check = _Check(network, loss_of, reduction, tolerance, group)
    if _pools(network):
        finding = check.compare_together(batch, own)
    else:
        finding = check.compare_one_by_one(batch, own)
    raise_everywhere(finding, group)


def _unwrapped(model: nn.Module) -> tuple[nn.Module, Group]:
    """Return the network inside DDP, and DDP's group; the model itself without one."""
    for layer in model.modules():
        if isinstance(layer, DistributedDataParallel):
            # what torch.compile was given
            network = getattr(layer.module, "_orig_mod", layer.module)
            return network, layer.process_group
    return model, None


def raise_everywhere(finding: str, group: Group) -> None:
    """Raise ``RuntimeError`` on all replicas with what one of them has found.

    Args:
        finding: What this replica has found; empty is nothing.
        group: The replicas.
    """
    findings: list[Any] = [finding]
    if world_of(group) > 1:
        findings = [""] * world_of(group)
        dist.all_gather_object(findings, finding, group=group)
    found = [text for text in findings if text]
    if found:
        raise RuntimeError(found[0])


class _Check:
    """The comparison of a network's reduced gradient with that of one process."""

    def __init__(
        self,
        network: nn.Module,
        loss_of: LossOf,
        reduction: str,
        tolerance: float | None,
        group: Group,
    ) -> None:
        self._network = network
        self._loss_of = loss_of
        self._reduction = reduction
        self._tolerance = tolerance
        self._group = group

    def compare_one_by_one(self, batch: Any, own: float) -> str:
        """Return what is wrong with the reduced gradient, or nothing; rank 0 alone computes.

        Args:
            batch: This replica's.
            own: Its count.
        """
        packed = b""
        finding = ""
        try:
            packed = pickle.dumps(Share(moved(batch, "cpu"), own))
        except Exception as error:
            finding = f"`check_gradient` could not send `batch` to rank 0: {error}"
        raise_everywhere(finding, self._group)
        shares = self._weighted([pickle.loads(one) for one in _sent_to_first(packed, self._group)])
        if not shares:
            return ""
        try:
            finding = self._explain([self._part(share) for share in shares], shares)
            if finding and any(self._varies(share) for share in shares):
                finding += (
                    " But a second pass of the same batch gives another gradient (numbers drawn at "
                    "random, spectral norm), so such a job cannot be checked: switch that off "
                    "for it."
                )
            return finding
        except Exception as error:  # the others wait for an answer, whatever it is
            return f"`check_gradient` could not compute the gradient of one process: {error}"

    def compare_together(self, batch: Any, own: float) -> str:
        """Return the same; each replica computes its own part, and BatchNorm goes over all.

        Args:
            batch: This replica's.
            own: Its count.
        """
        counts: list[Any] = [own]
        if world_of(self._group) > 1:
            counts = [0.0] * world_of(self._group)
            dist.all_gather_object(counts, own, group=self._group)
        shares = self._weighted([Share(None, count) for count in counts])
        part = self._part(Share(batch, shares[_rank_of(self._group)].weight))
        if world_of(self._group) > 1:
            dist.all_reduce(part, group=self._group)
        return self._explain([part], shares)

    def _weighted(self, shares: list[Share]) -> list[Share]:
        """Return the shares with the weights n_r / n in place of counts; those of sums stay."""
        if self._reduction == "sum":
            return shares
        total = sum(share.weight for share in shares) or 1.0
        return [Share(share.batch, share.weight / total) for share in shares]

    def _part(self, share: Share) -> torch.Tensor:
        """Return a replica's part of the gradient of one process, ``(numbers,)``, float64."""
        return gradient_of(self._network, self._loss_of, self._on_device(share))

    def _varies(self, share: Share) -> bool:
        """Say whether the check cannot repeat what the step computed."""
        return varies(self._network, self._loss_of, self._on_device(share))

    def _on_device(self, share: Share) -> Share:
        device = next(iter(trained_weights(self._network).values())).device
        return Share(moved(share.batch, device), share.weight)

    def _explain(self, parts: list[torch.Tensor], shares: list[Share]) -> str:
        expected = torch.stack(parts).sum(0)
        reduced = reduced_gradient(self._network)
        error = relative_error(reduced, expected)
        allowed = self._tolerance
        if allowed is None:
            # all gradients are computed through the roughest weights
            weights = trained_weights(self._network).values()
            each = [_ALLOWED.get(weight.dtype.to_real(), _ALLOWED_ROUGH) for weight in weights]
            allowed = max(each)
        local = self._local_statistics()
        if error <= allowed:
            if local:
                warnings.warn(f"{local}.", stacklevel=4)
            return ""
        reason = likely_reason(reduced, parts, [share.weight for share in shares], allowed)
        if local:
            reason = f"{reason} {local}; with them `loss_of` takes the parts that the step took."
        return (
            f"the first reduced gradient is {error:.1e} off that of one process "
            f"(allowed: {allowed:.0e}). {reason}"
        )

    def _local_statistics(self) -> str:
        """Say which layers make a right sum of gradients another one than one process has."""
        local = [name for name, layer in _batchnorms(self._network) if not _pools_one(layer)]
        if not local or world_of(self._group) == 1:
            return ""
        return (
            f"The BatchNorm layers {local} see one replica's samples at a time, and one process "
            "that takes statistics of all has another gradient: try hetlib.convert_batchnorm"
        )


def _rank_of(group: Group) -> int:
    return dist.get_rank(group) if dist.is_initialized() else 0


def _sent_to_first(packed: bytes, group: Group) -> list[bytes]:
    """Return what each replica packed, by rank, on rank 0; nothing elsewhere."""
    replicas = world_of(group)
    if replicas == 1:
        return [packed]
    if _rank_of(group) != 0:
        dist.gather_object(packed, None, group=group, group_dst=0)
        return []
    by_rank: list[Any] = [b""] * replicas
    dist.gather_object(packed, by_rank, group=group, group_dst=0)
    return by_rank


def _require_whole(network: nn.Module) -> None:
    if any(isinstance(weight, DTensor) for weight in network.parameters()):
        raise ValueError(
            "`model` has weights that are sharded over the replicas (FSDP2), which one replica "
            "alone cannot compute with; check the same job with DistributedDataParallel."
        )


def _require_repeatable(network: nn.Module) -> None:
    drawing = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, _DropoutNd) and layer.training and layer.p > 0
    ]
    if drawing:
        raise ValueError(
            f"`check_gradient` cannot repeat layers that draw at random: {drawing}; "
            "set their p to 0 for it."
        )
    if not trained_weights(network):
        raise ValueError("`model` has no weight that needs a gradient; there is nothing to check.")


def _own_count(loader: Any, count: Any, reduction: str) -> float:
    """Return the count of this replica, of a sum 1, or 0 where it has no sample."""
    if reduction == "sum":
        if loader is None:
            return 1.0
        dealer = balanced_loader(loader)
        return float(dealer.counts[dealer.dealer.rank] > 0)
    if count is not None:
        return float(number_of(count, torch.device("cpu"), "count"))
    if loader is None:
        raise ValueError(
            "give `loader`, the BalancedLoader that dealt the batch, or `count`, what the loss is "
            "the mean over on this replica."
        )
    dealer = balanced_loader(loader)
    return float(dealer.counts[dealer.dealer.rank])


def _batchnorms(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the BatchNorm layers that take statistics of their batch, by name."""
    return [
        (name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None)
    ]


def _pools_one(layer: nn.Module) -> bool:
    return hasattr(layer, "process_group")


def _pools(network: nn.Module) -> bool:
    """Say whether some BatchNorm layer goes over all replicas."""
    return any(_pools_one(layer) for _, layer in _batchnorms(network))
