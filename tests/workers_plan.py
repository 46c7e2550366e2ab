"""What replicas run in the tests of the planner."""

import torch

import hetlib
from hetlib.models import build_model


def own_plan(rank: int, bounds: list[dict[str, int]]) -> tuple[hetlib.Partition, bool]:
    """Plan as a script of one's own would; return the plan and whether the model came through it untouched."""
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    before = [p.detach().clone() for p in model.parameters()]
    images = torch.randn(5, 4, 16, 16)  # fewer than any local batch
    plan = hetlib.plan(model, images, global_batch=48, seconds=0.2, **bounds[rank])
    same = all(torch.equal(p, q) and p.grad is None for p, q in zip(model.parameters(), before, strict=True))
    return plan, same and not any(m._forward_hooks for m in model.modules())


def one_step_each(rank: int, shares: tuple[int, ...]) -> int:
    """Train one balanced step after a plan: no group or hook of the planner is in the way."""
    model = build_model("smallcnn", bands=4, classes=3, size=16)
    hetlib.plan(model, torch.randn(8, 4, 16, 16), global_batch=sum(shares), seconds=0.1)
    sampler = hetlib.BalancedSampler(sum(shares), shares)
    wrapped = hetlib.balance(torch.nn.parallel.DistributedDataParallel(model), sampler)
    for indices in sampler:
        wrapped(torch.randn(len(indices), 4, 16, 16)).square().mean().backward()
    return sum(p.grad is not None for p in model.parameters())
