"""How long replicas take to start, and what the last full reproduction took."""

import json
import time
from multiprocessing import forkserver

import hetlib
from hetlib_bundle import paths
from tests.bench import Row
from tests.bench._measure import row

EXPERIMENT = hetlib.Experiment(
    strategy="balanced",
    shares=(96, 32),
    max_steps=3,
    evaluate_every=0,
    dataset_options={"per_class": 64},
)
STARTS = 5
WARM_RUNS = 3  # after each start


def first_step(replicas: hetlib.Replicas) -> float:
    """Return the seconds from the call to the end of the first step."""
    return hetlib.train(EXPERIMENT, replicas).started["first_step"]


def starts() -> list[Row]:
    """Return the seconds to the first optimizer step, cold and warm."""
    cold, warm = [], []
    with hetlib.Replicas(hetlib.Platform.emulated([1, 1])) as replicas:
        first_step(replicas)  # makes the data cache, and the server that forks workers
        for _ in range(STARTS):
            replicas.close()
            stop_server()
            cold.append(first_step(replicas))
            for _ in range(WARM_RUNS):
                warm.append(first_step(replicas))
            time.sleep(0.2)
    return [
        row("two cold replicas: call to first step (s)", cold, at_most=4.0),
        row("the same replicas, warm: call to first step (s)", warm, at_most=0.3),
    ]


def last_reproduction() -> list[Row]:
    """Return what the last quick run of the bundle took, if there is one."""
    path = paths.RESULTS / "quick" / "bundle.json"
    if not path.exists():
        return []
    bundle = json.loads(path.read_text())
    peak = "its peak memory, all processes (MB of PSS)"
    return [
        row("last quick reproduction (s)", [bundle["seconds"]], at_most=300),
        row(peak, [bundle["peak_pss_mb"]], at_most=1800),
    ]


def run() -> list[Row]:
    """Return seconds to the first step, cold and warm, and the last quick run of the bundle."""
    return starts() + last_reproduction()


def stop_server() -> None:
    """End the server that forks workers, so that the next start is as cold as the first."""
    forkserver._forkserver._stop()
