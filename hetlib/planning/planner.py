"""From a clock to a plan: time a model on every replica at once, then real steps of the few plans that may win."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.utils._pytree import tree_map

from hetlib.balanced.batchnorm import BalancedBatchNorm
from hetlib.balanced.checks import differentiable
from hetlib.environment import environment
from hetlib.files import fingerprint
from hetlib.planning.partition import Partition
from hetlib.planning.progress import spending
from hetlib.planning.search import decide
from hetlib.planning.timing import Task, capped, gather
from hetlib.replicas.platform import Replica


def plan(
    model: nn.Module,
    example_batch: Any,
    *,
    global_batch: int,
    seconds: float = 10,
    accumulate: bool = False,
    store: Path | str | None = None,
    progress: bool | None = None,
    **replica: Any,
) -> Partition:
    """Plan a job of one's own: every rank times itself, all ranks get the same plan.

    Times SGD steps of copies of the model, on all ranks at once, alone and then under DDP. Every
    rank has to call it.

    Args:
        model: The model on this rank's device, not yet wrapped in DDP.
        example_batch: Its inputs, a tensor or a tuple of them, ``(n, ...)`` with any n >= 1, on the
            same device.
        global_batch: Samples a step over all replicas.
        seconds: Budget of the timing; each plan that may win takes three to seven steps in any
            case.
        accumulate: Shares may exceed what fits: rank r takes its own in ``plan.passes[r]`` parts,
            under ``no_sync``.
        store: Folder of plans on rank 0's machine. One of the same model, shapes, replicas and
            versions is used again.
        progress: Whether rank 0 shows a bar; by default on a terminal and in a notebook that is no
            batch run.
        replica: More about this rank, as for `Replica`: ``max_batch`` (by default what fits),
            ``multiple``.
    """
    if accumulate and any(isinstance(layer, BalancedBatchNorm) for layer in model.modules()):
        raise ValueError(
            "`accumulate` is True for a model with BalancedBatchNorm; allowed: False, or another norm."
        )
    inputs = example_batch if isinstance(example_batch, tuple) else (example_batch,)

    def loss_of(network: nn.Module, n: int) -> torch.Tensor:
        batch = tree_map(lambda x: x[torch.arange(n, device=x.device) % len(x)], inputs)
        return torch.stack(
            [o.float().square().mean() for o in differentiable(network(*batch))]
        ).sum()

    own = Replica(
        device=str(next(model.parameters()).device),
        **{"threads": torch.get_num_threads()} | replica,
    )
    sizes = [[name, w.shape, str(w.dtype), w.requires_grad] for name, w in model.named_parameters()]
    known = [
        str(model),
        sizes,
        str(tree_map(lambda x: (x.shape, x.dtype), inputs)),
        asdict(own),
        environment(),
    ]
    name = fingerprint([global_batch, accumulate, gather(known)])[:16]
    path, stored = store and Path(store, f"{name}.json"), None
    # no plan, or one of another version
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        content = json.loads(path.read_text() if path else "{}")
        fields: Any = {
            field: tuple(x) if isinstance(x, list) else x for field, x in content.items()
        }
        stored = Partition(**fields)
    if stored := gather(stored)[0]:
        return stored
    task = Task(
        own,
        model,
        loss_of,
        lambda network: torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9),
    )
    leads = not (dist.is_initialized() and dist.get_rank())
    with spending("planning", seconds, progress if leads else False):
        found = decide(capped(task), global_batch, seconds, accumulate=accumulate)
    if path and leads:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(found)))
    return found
