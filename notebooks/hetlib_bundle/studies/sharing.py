"""Ways to share a global batch among replicas, beside the plan; every time here is modelled."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

import hetlib
from hetlib.balanced.shares import deal, slashed

# Relative step times that differ by less are taken as equal.
ROUNDING = 1e-9


def speed_names(speeds: Sequence[float]) -> list[str]:
    """Return what figures call replicas of which only the speed is known."""
    return [f"{rank} (speed {speed:g})" for rank, speed in enumerate(speeds)]


def slowest(models: Sequence[hetlib.SpeedModel], shares: Sequence[int]) -> float:
    """Return the step time in seconds, without communication: the largest t_r(n_r)."""
    pairs = zip(models, shares, strict=True)
    return max(model.time(share) for model, share in pairs)


def no_sample_can_move(plan: hetlib.Partition, models: Sequence[hetlib.SpeedModel]) -> bool:
    """Say whether no single sample can go to another replica to shorten the step.

    Args:
        plan: Shares and step time.
        models: The step models that it was made from.
    """
    least = plan.step * (1 - ROUNDING)
    for giver, taker in itertools.permutations(range(len(models)), 2):
        moved = list(plan.shares)
        moved[giver] -= 1
        moved[taker] += 1
        if min(moved) < 0:
            continue
        if slowest(models, moved) < least:
            return False
    return True


def rival_shares(
    plan: hetlib.Partition,
    speeds: Sequence[float],
) -> dict[str, Sequence[int]]:
    """Return the shares of a plan and of what others would do with the same batch.

    Args:
        plan: The shares by measured curves.
        speeds: Relative speeds of the replicas, as somebody knows them who measures no curves.
    """
    batch = plan.global_batch
    fastest = max(speeds)
    weights = np.rint(1e4 * np.asarray(speeds) / fastest).astype(int).tolist()
    return {
        "by measured curves": plan.shares,
        "in proportion to speed": deal(batch, weights),
        "equal": deal(batch, [1] * len(speeds)),
        "fastest alone": tuple(batch * (speed == fastest) for speed in speeds),
    }


def rival_table(
    rivals: Mapping[str, Sequence[int]],
    steps: Mapping[str, float],
) -> pd.DataFrame:
    """Return one row a way to share: its samples, its modelled step, its speedups over two of them.

    Args:
        rivals: From `rival_shares`.
        steps: Their step times in seconds.
    """
    rows = []
    for name, shares in rivals.items():
        row = {
            "shares": name,
            "samples": slashed(shares),
            "step (ms)": 1e3 * steps[name],
            "speedup over equal": steps["equal"] / steps[name],
            "over fastest alone": steps["fastest alone"] / steps[name],
        }
        rows.append(row)
    return pd.DataFrame(rows)
