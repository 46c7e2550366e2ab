"""``python -m tests.readme``: take the last runs' tables into the clone, and write the README's from them.

No number in the README is typed: tests/test_readme.py makes the same text again and compares.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd

from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.kept.keeper import read
from hetlib_bundle.paths import DATA, NOTEBOOKS, RESULTS, ROOT
from hetlib_bundle.profiles import get_profile
from hetlib_bundle.running.heads import read_heads
from hetlib_bundle.studies.settings import SETTINGS

RECORDED = DATA / "recorded"
# What is shown: of each folder of results, files that are taken into the folder of that name in
# data/recorded.
KEPT = {
    "quick": ["bundle.json", "tables/99_report.csv"],
    "standard": [
        *(
            "bundle.json",
            "tables/99_report.csv",
            "tables/07_accuracy_table.csv",
            "tables/09_time.csv",
        ),
        *("figures/09_timeline.png", "tables/14_differences.csv", "tables/14_own_rate.csv"),
    ],
    "standard-eurosat": ["tables/07_accuracy_table.csv"],
    "standard-brandenburg-smallcnn-24": ["tables/07_accuracy_table.csv"],
}
RIVALS = ("balanced", "uneven-plain", "uneven-plain-retuned", "speed-weighted")


def record(results: Path = RESULTS) -> None:
    """Copy what the README shows out of finished runs; what was not run stays as it is."""
    for folder, names in KEPT.items():
        for made in (results / folder / name for name in names):
            if made.exists():
                (RECORDED / folder).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(made, RECORDED / folder / made.name)


def _bundle(profile: str) -> dict[str, Any]:
    return json.loads((RECORDED / profile / "bundle.json").read_text())


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def _differences(table: pd.DataFrame) -> list[str]:
    """Return OA of single, and the rivals' differences to it."""
    by = table.set_index("strategy")
    cells = [f"{100 * by.oa['single']:.1f} ± {100 * by['oa ±']['single']:.1f}"]
    return cells + [
        f"{by['OA - single'][n]:+.1f} ({by.low[n]:+.1f} to {by.high[n]:+.1f})" for n in RIVALS
    ]


def _settings() -> list[list[str]]:
    """Return one row a setting of 14: its name, and the strategies' differences to single."""
    table, own = (
        pd.read_csv(RECORDED / "standard" / f"14_{name}.csv")
        for name in ("differences", "own_rate")
    )
    rows = []
    for setting, part in pd.concat([table, own.assign(setting="base, own rate")]).groupby(
        "setting", sort=False
    ):
        cells = []
        for name in ("balanced", "uneven-plain"):
            values = part[part.strategy == name]["OA - single"]
            mean, half = interval(values) if len(values) else (0.0, 0.0)
            cells.append(
                f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})" if len(values) else ""
            )
        rows.append([str(setting).replace("-", " "), *cells])
    return rows


def _hours(model: str, runs: int, classes: int) -> float:
    """Return hours of training on one core at profile full, by the step times in the record of 03, at 16 x 16 pixels.

    Nothing but training is counted, and every class has as many samples as the profile admits.
    """
    full, costs = (
        get_profile("full"),
        read(RECORDED / "standard" / "03_costs.jsonl")[1][0].set_index("model").loc[model],
    )
    samples = runs * full.epochs * classes * full.per_class
    return samples * (costs["per sample (ms)"] + costs["fixed (ms)"] / 128) / 3.6e6


def _full() -> str:
    """Say what the profile full would take, which has not been run."""
    full, runs = get_profile("full"), read(RECORDED / "standard" / "07_runs.jsonl")[2]
    classes = {run.experiment["dataset"]: len(run.confusion) for run in runs}
    searched, seeds, strategies = 3 * 2, len(full.seeds), 2 + len(RIVALS)
    accuracy = sum(
        _hours(model, searched + strategies * seeds, classes[name])
        for name in full.datasets
        for model in full.models
    )
    each, own = searched + 3 * seeds, len(SETTINGS)
    settings = _hours("smallcnn", each * own, classes["brandenburg"])
    settings += sum(_hours(model, each, classes["brandenburg"]) for model in full.other_models)
    return (
        "The profile `full` (`make reproduce PROFILE=full`) is for a GPU and has not been run. By the step times of "
        f"`03_models`, training alone would take at most {accuracy:,.0f} hours of one core in `07_accuracy` and "
        f"{settings:,.0f} in `14_settings`; what a GPU needs was not measured."
    )


def _verdicts(profile: str) -> str:
    report = pd.read_csv(RECORDED / profile / "99_report.csv")
    words = [
        f"{len(rows)} {word} ({', '.join(rows.claim)})"
        for word in ("supported", "not supported", "underpowered", "not run")
        if len(rows := report[report.verdict == word])
    ]
    return f"of the {len(report)} statements of `data/claims.yaml`, {'; '.join(words)}"


def results_text() -> str:
    """Return the results: accuracy, time and verdicts at the standard profile, and what the runs took."""
    accuracy, times = (
        pd.read_csv(RECORDED / "standard" / f"{n}.csv") for n in ("07_accuracy_table", "09_time")
    )
    further = [
        pd.read_csv(RECORDED / name / "07_accuracy_table.csv")
        for name in KEPT
        if "standard-" in name
    ]
    made = {name: read(RECORDED / name / "07_runs.jsonl")[2] for name in KEPT if name != "quick"}
    epochs = {name: str(runs[0].experiment["epochs"]) for name, runs in made.items()}
    seeds = len({run.experiment["seed"] for run in made["standard"]})
    shares = "/".join(map(str, made["standard"][0].experiment["shares"]))
    rows = [
        [f"{dataset}, {model}", epochs[name], *_differences(part)]
        for name, table in zip(epochs, (accuracy, *further), strict=True)
        for (dataset, model), part in table.groupby(["dataset", "model"], sort=False)
    ]
    parts = [
        f"Accuracy (`07_accuracy`: virtual replicas with shares {shares}, the same weights and sample order for every "
        f"strategy, {seeds} seeds, learning rate chosen on validation data): test OA of `single`, one process with the "
        "whole batch (%), and paired differences to it in points, with 95 % intervals. EuroSAT is a part of its RGB "
        "images, which is not in the clone (`-p datasets eurosat`). The last row trains longer: `papermill "
        "notebooks/07_accuracy.ipynb out.ipynb -p profile standard -p datasets brandenburg -p models smallcnn -p "
        "epochs 24`.",
        _table(["data set, CNN", "epochs", "single", *RIVALS], rows),
        f"Other settings (`14_settings`: one thing changed at a time from the first row, {seeds} seeds), differences "
        "to `single` in the same way; *own rate*: the plain mean's learning rate is searched for itself:",
        _table(["setting", "balanced", "uneven-plain"], _settings()),
    ]
    rows = [
        [
            r["model"],
            r["strategy"],
            r["shares"],
            f"{r['step (ms)']:.1f} ± {r['step ±']:.1f}",
            f"{r['epoch (s)']:.2f} ± {r['epoch ±']:.2f}",
            f"{r['fastest replica idle (%)']:.0f}",
            f"{r['speedup']:.2f}",
        ]
        for _, r in times.iterrows()
    ]
    head = [
        "CNN",
        "strategy",
        "shares",
        "step (ms)",
        "epoch (s)",
        "fastest replica idle (%)",
        "speedup over equal",
    ]
    quick, standard = _bundle("quick"), _bundle("standard")
    accuracy_seconds = next(
        n["seconds"] for n in standard["notebooks"] if n["name"] == "07_accuracy"
    )
    before = "" if accuracy_seconds > 600 else " (with the runs of `07_accuracy` there from before)"
    # see `runner._summary`
    if abs(standard["seconds"] - sum(n["seconds"] for n in standard["notebooks"])) < 1:
        before += " (notebooks run at different times, added up)"
    parts += [
        "Time (`09_time`: measured on two real processes, one slowed down four times; mean and 95 % interval over "
        "repeats):",
        _table(head, rows),
        f"Verdicts at the standard profile: {_verdicts('standard')}. At the quick profile: {_verdicts('quick')}.",
        f"On {quick['cores']} cores the quick profile took {quick['seconds'] / 60:.1f} minutes and at most "
        f"{quick['peak_pss_mb']:.0f} MB in all processes together, the standard profile {standard['seconds'] / 60:.0f} "
        f"minutes{before} and {standard['peak_pss_mb']:.0f} MB (Python {quick['versions']['python']}, torch "
        f"{quick['versions']['torch']}). The strategies are explained in `hetlib/experiment.py`.",
        _full(),
    ]
    return "\n\n".join(parts)


def notebooks_text() -> str:
    """Return one row a notebook, with the seconds of the recorded runs."""
    seconds = {
        p: {n["name"]: n["seconds"] for n in _bundle(p)["notebooks"]} for p in ("quick", "standard")
    }
    rows = []  # the letter's item is not known; products are those that the notebook saves
    for head in read_heads():
        path = NOTEBOOKS / f"{head.name}.ipynb"
        source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        made = sorted(
            set(re.findall(r'save_(figure|table)\(\w+, "(\w+)"', source)),
            key=lambda made: made[::-1],
        )
        products = ", ".join(f"{kind} `{name}`" for kind, name in made)
        times = [
            f"{seconds[p][path.stem]:.0f} s" if path.stem in seconds[p] else "" for p in seconds
        ]
        claims = "all" if len(head.claims) == 5 else ", ".join(head.claims)
        rows.append(["", claims, f"[{path.name}](notebooks/{path.name})", products, *times, ""])
    return _table(
        ["letter's item", "claim", "notebook", "product", "quick", "standard", "full"], rows
    )


def filled(readme: str) -> str:
    """Return the README with both generated parts made anew."""
    for begin, end, text in (
        ("<!-- results: ", "<!-- end of results -->", f"\n\n{results_text()}\n\n"),
        ("<!-- notebooks -->", "<!-- end of notebooks -->", f"\n\n{notebooks_text()}\n\n"),
    ):
        start = readme.index(begin)
        start = readme.index("-->", start) + 3
        readme = readme[:start] + text + readme[readme.index(end) :]
    return readme


if __name__ == "__main__":
    record()
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
