"""How long replicas take to start, and what the last full reproduction took."""

import json
import time

import hetlib
from hetlib_bundle import paths
from tests.bench import Row
from tests.bench._measure import row


def run() -> list[Row]:
    """Return seconds to the first optimizer step, cold and warm, and the last quick run of the bundle."""
    experiment = hetlib.Experiment(
        strategy="balanced",
        shares=(96, 32),
        max_steps=3,
        evaluate_every=0,
        dataset_options={"per_class": 64},
    )
    platform = hetlib.Platform.emulated([1, 1])
    with hetlib.Replicas(platform) as replicas:
        hetlib.train(
            experiment, replicas
        )  # makes the data cache, and the server that forks workers
        cold, warm = [], []
        for _ in range(5):
            replicas.close()
            _stop_server()
            cold.append(hetlib.train(experiment, replicas).started["first_step"])
            for _ in range(3):
                warm.append(hetlib.train(experiment, replicas).started["first_step"])
            time.sleep(0.2)
    rows = [
        row("two cold replicas: call to first step (s)", cold, at_most=4.0),
        row("the same replicas, warm: call to first step (s)", warm, at_most=0.3),
    ]
    last = paths.RESULTS / "quick" / "bundle.json"
    if last.exists():
        bundle = json.loads(last.read_text())
        rows.append(row("last quick reproduction (s)", [bundle["seconds"]], at_most=300))
        rows.append(
            row("its peak memory, all processes (MB of PSS)", [bundle["peak_pss_mb"]], at_most=1800)
        )
    return rows


def _stop_server() -> None:
    """End the server that forks workers, so that the next start is as cold as the first."""
    from multiprocessing import forkserver

    forkserver._forkserver._stop()
