"""``python -m tests.readme``: take the last quick run's tables into the clone, and write the README's from them.

No number in the README is typed: tests/test_readme.py makes the same text again and compares.
"""

import json
import re
import shutil
from pathlib import Path

import nbformat
import pandas as pd

from hetlib.paths import DATA, NOTEBOOKS, RESULTS, ROOT
from hetlib_bundle.heads import read_heads

RECORDED = DATA / "recorded" / "quick"
STANDARD = DATA / "recorded" / "standard"
KEPT = ("07_accuracy_table.csv", "07_verdicts.csv", "09_time.csv", "09_verdicts.csv", "99_report.csv")
PICTURE = "09_timeline.png"


def record(results: Path = RESULTS / "quick") -> None:
    """Copy what the README shows out of a finished run."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copyfile(results / "tables" / name, RECORDED / name)
    shutil.copyfile(results / "figures" / PICTURE, RECORDED / PICTURE)
    shutil.copyfile(results / "bundle.json", RECORDED / "bundle.json")


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def results_text() -> str:
    """Return the results of the recorded run: accuracy, time and what they ran on."""
    accuracy, times = (pd.read_csv(RECORDED / name) for name in ("07_accuracy_table.csv", "09_time.csv"))
    bundle = json.loads((RECORDED / "bundle.json").read_text())
    rows = [
        [
            r["strategy"],
            *(f"{100 * r[score]:.1f} ± {100 * r[f'{score} ±']:.1f}" for score in ("oa", "aa", "kappa")),
            "" if r["strategy"] == "single" else f"{r['OA - single']:+.1f} ({r['low']:+.1f} to {r['high']:+.1f})",
        ]
        for _, r in accuracy.iterrows()
    ]
    parts = [
        "Accuracy (`07_accuracy`: virtual replicas, same weights and sample order for every strategy; mean and 95 % "
        "interval over seeds, and the paired difference to `single`):",
        _table(["strategy", "OA (%)", "AA (%)", "kappa (%)", "OA - single (points)"], rows),
    ]
    rows = [
        [
            r["strategy"],
            r["shares"],
            f"{r['step (ms)']:.1f} ± {r['step ±']:.1f}",
            f"{r['epoch (s)']:.2f} ± {r['epoch ±']:.2f}",
            f"{r['fastest replica idle (%)']:.0f}",
            f"{r['speedup']:.2f}",
        ]
        for _, r in times.iterrows()
    ]
    head = ["strategy", "shares", "step (ms)", "epoch (s)", "fastest replica idle (%)", "speedup over equal"]
    parts += [
        "Time (`09_time`: measured on two real processes, one slowed down four times; mean and 95 % interval over "
        "repeats):",
        _table(head, rows),
        f"The run took {bundle['seconds'] / 60:.1f} minutes after installation and at most {bundle['peak_pss_mb']:.0f} "
        f"MB in all processes together ({bundle['cores']} cores, Python {bundle['versions']['python']}, torch "
        f"{bundle['versions']['torch']}). The strategies are explained in `hetlib/experiment.py`.",
    ]
    report = pd.read_csv(RECORDED / "99_report.csv")
    words = [
        f"{len(rows)} {word} ({', '.join(rows.claim)})"
        for word in ("supported", "not supported", "underpowered", "not run")
        if len(rows := report[report.verdict == word])
    ]
    parts.append(f"Of the {len(report)} statements of `data/claims.yaml`, at this size: {'; '.join(words)}.")
    if (STANDARD / "07_accuracy_table.csv").exists():
        parts += _standard()
    return "\n\n".join(parts)


def _standard() -> list[str]:
    """Return the accuracies of the standard profile, a row a data set and CNN."""
    accuracy, verdicts = (pd.read_csv(STANDARD / f"07_{name}.csv") for name in ("accuracy_table", "verdicts"))
    rows = []
    for (dataset, model), part in accuracy.groupby(["dataset", "model"], sort=False):
        by = part.set_index("strategy")
        cells = [f"{100 * by.oa['single']:.1f} ± {100 * by['oa ±']['single']:.1f}"]
        for name in ("balanced", "uneven-plain", "uneven-plain-retuned", "speed-weighted"):
            cells.append(f"{by['OA - single'][name]:+.1f} ({by.low[name]:+.1f} to {by.high[name]:+.1f})")
        rows.append([f"{dataset}, {model}", *cells])
    head = ["data set, CNN", "OA of single (%)", "balanced", "uneven-plain", "uneven-plain-retuned", "speed-weighted"]
    seeds = int(verdicts.n.min())
    return [
        f"`07_accuracy` at the standard profile, as far as it has been run (`papermill notebooks/07_accuracy.ipynb "
        "out.ipynb -p profile standard -p datasets wake -p models smallcnn` and so on; "
        f"{seeds} seeds, rate chosen on validation data): OA of `single`, and differences to it in points, with 95 % "
        "intervals paired over seeds:",
        _table(head, rows),
    ]


def notebooks_text() -> str:
    """Return one row a notebook, with the seconds of the recorded run."""
    seconds = {n["name"]: n["seconds"] for n in json.loads((RECORDED / "bundle.json").read_text())["notebooks"]}
    rows = []  # the letter's item is not known; products are those that the notebook saves
    for head in read_heads():
        path = NOTEBOOKS / f"{head.name}.ipynb"
        source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        made = sorted(set(re.findall(r'save_(figure|table)\(\w+, "(\w+)"', source)), key=lambda made: made[::-1])
        products = ", ".join(f"{kind} `{name}`" for kind, name in made)
        time = f"{seconds[path.stem]:.0f} s" if path.stem in seconds else ""
        claims = "all" if len(head.claims) == 5 else ", ".join(head.claims)
        rows.append(["", claims, f"[{path.name}](notebooks/{path.name})", products, time, "", ""])
    return _table(["letter's item", "claim", "notebook", "product", "quick", "standard", "full"], rows)


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
    for name in ("07_accuracy_table", "07_verdicts"):  # of one run or of several, each with some data sets or CNNs
        if made := sorted(RESULTS.glob(f"standard*/tables/{name}.csv")):
            STANDARD.mkdir(parents=True, exist_ok=True)
            whole = pd.concat(map(pd.read_csv, made)).drop_duplicates()
            whole.to_csv(STANDARD / f"{name}.csv", index=False)
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
