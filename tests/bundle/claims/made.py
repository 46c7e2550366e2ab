"""Claims, run records and a report, made by hand."""

from typing import Any

import pandas as pd

from hetlib.files import fingerprint
from hetlib.training.records import RunRecord
from hetlib_bundle.claims import Claim

GOOD: dict[str, Any] = {
    "id": "C9.1",
    "statement": "Plain loses.",
    "quantity": "OA difference",
    "unit": "points",
    "strategies": ["uneven-plain", "single"],
    "data": {"dataset": "wake"},
    "direction": "below",
    "margin": -1.0,
    "least": 3,
    "source": {"notebook": "07_accuracy", "table": "07_verdicts"},
}

# Of a run: two in each of three epochs.
STEPS = 6


def claim(**changes: Any) -> Claim:
    return Claim(**GOOD | changes)


def name_of(strategy: str, seed: int, dataset: str = "wake") -> str:
    """Return the fingerprint of a made-up run."""
    return fingerprint([strategy, seed, dataset])[:16]


def run(
    strategy: str,
    seed: int,
    oa: float = 0.5,
    dataset: str = "wake",
    *,
    step: float = 0,
    wait: float = 0,
) -> RunRecord:
    """Return a record of two replicas, the second four times slower.

    Where ``step`` is given, each step takes so many seconds, of which the first replica waits.
    """
    phases = {}
    if step:
        phases["compute"] = [[step - wait, step]] * STEPS
        phases["wait"] = [[wait, 0.0]] * STEPS
        phases["communicate"] = [[0.0, 0.0]] * STEPS
        phases["update"] = [[0.0, 0.0]] * STEPS
    scores = {"oa": oa, "aa": oa, "kappa": oa}
    return RunRecord(
        fingerprint=name_of(strategy, seed, dataset),
        experiment={
            "strategy": strategy,
            "dataset": dataset,
            "model": "smallcnn",
            "seed": seed,
        },
        platform=[{"slowdown": 1.0}, {"slowdown": 4.0}],
        mode="processes",
        times="measured",
        shares=[96, 32],
        lr=0.1,
        speeds=[4.0, 1.0],
        epochs=[{"epoch": 3, "step": STEPS, "loss": 1.0, **scores}],
        confusion=[[1]],
        steps=phases,
    )


# What `claims.report` returns: one row a claim.
TABLE = pd.DataFrame(
    {
        "claim": ["C1.1", "C4.1", "C4.2"],
        "role": "descriptive",
        "p": [0.001, 1.0, None],
        "statement": "A < B.",
        "effect": [0.71234, 1.3e-15, None],
        "low": [0.69, 1.2e-15, None],
        "high": [0.73, 1.4e-15, None],
        "unit": "points",
        "is": ["above", "below", "within"],
        "margin": [0.25, 1e-12, 1.0],
        "n": [5.0, 5.0, None],
        "verdict": ["supported", "not supported", "not run"],
        "note": ["", "", "no table 07_verdicts: hetlib reproduce --profile quick --only 07"],
        "notebook": ["09_time", "05_balanced_gradient", "07_accuracy"],
    }
)
