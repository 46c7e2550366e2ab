"""How fast the replicas of a platform are, as measured, and whether their emulation holds."""

from collections.abc import Sequence

import pandas as pd
import torch

import hetlib
from hetlib.environment import cores


def replica_names(platform: hetlib.Platform) -> list[str]:
    """Return what tables and axes call the replicas: rank and name."""
    return [f"{rank} ({replica.name})" for rank, replica in enumerate(platform.replicas)]


def speed_table(
    platform: hetlib.Platform,
    models: Sequence[hetlib.SpeedModel],
    global_batch: int,
) -> pd.DataFrame:
    """Return one row a replica: what was asked of it, and its measured time for the whole batch.

    Args:
        platform: The replicas.
        models: The measured step time of each.
        global_batch: Samples that each replica is taken to process alone.

    Returns:
        Columns ``replica``, ``threads``, ``slow-down asked``, ``slow-down measured`` (over replica
        0, times what was asked of that), ``step (ms)`` and ``samples/s``.
    """
    first = platform.replicas[0]
    fastest = models[0].time(global_batch)
    rows = []
    for name, replica, model in zip(
        replica_names(platform), platform.replicas, models, strict=True
    ):
        seconds = model.time(global_batch)
        row = {
            "replica": name,
            "threads": replica.threads,
            "slow-down asked": replica.slowdown,
            "slow-down measured": seconds / fastest * first.slowdown,
            "step (ms)": 1e3 * seconds,
            "samples/s": global_batch / seconds,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def emulation_table(platform: hetlib.Platform, models: Sequence[hetlib.SpeedModel]) -> pd.DataFrame:
    """Return the slow-down over replica 0, asked and measured, by replica and measured local batch.

    Args:
        platform: The replicas.
        models: The measured step time of each.

    Returns:
        Columns ``replica``, ``local batch``, ``asked``, ``measured``, and ``error``: the measured
        one over the asked one, less 1.
    """
    names = replica_names(platform)
    first = platform.replicas[0]
    rows = []
    for rank in range(1, len(models)):
        for batch in models[rank].batches:
            row = {
                "replica": names[rank],
                "local batch": batch,
                "asked": platform.replicas[rank].slowdown / first.slowdown,
                "measured": models[rank].time(batch) / models[0].time(batch),
            }
            rows.append(row)
    table = pd.DataFrame(rows)
    table["error"] = table.measured / table.asked - 1
    return table


def found_here() -> hetlib.Platform:
    """Return a platform of this machine: GPUs and the cores left, or two halves of the cores."""
    gpus = torch.cuda.device_count()
    if not gpus:
        half = hetlib.Replica(threads=max(cores() // 2, 1))
        return hetlib.Platform((half, half))
    replicas = [hetlib.Replica(device=f"cuda:{index}") for index in range(gpus)]
    replicas.append(hetlib.Replica(threads=max(cores() - gpus, 1)))
    return hetlib.Platform(tuple(replicas))
