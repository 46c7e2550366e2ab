"""The README's results, made from the tables and records in the clone."""

import json
from typing import Any

import pandas as pd

from hetlib.balanced.shares import slashed
from hetlib.training.records import RunRecord
from hetlib_bundle.claims.verdict import interval
from hetlib_bundle.kept.lines import read
from hetlib_bundle.paths import RECORDED
from hetlib_bundle.profiles import get_profile
from hetlib_bundle.running.heads import read_heads
from hetlib_bundle.studies.settings import SETTINGS
from tests.readme_findings import checks_text, descriptive_text, findings_text
from tests.readme_tables import frame, table

# What is shown: of each folder of results, files that are taken into the folder of that name in
# data/recorded.
KEPT = {
    "quick": ["bundle.json", "tables/99_report.csv"],
    "standard": [
        "bundle.json",
        "figures/00_regime.png",
        "tables/99_report.csv",
        "tables/07_accuracy_table.csv",
        "tables/09_time.csv",
        "tables/09_to_accuracy.csv",
        "figures/09_timeline.png",
        "tables/14_differences.csv",
        "tables/14_own_rate.csv",
        "tables/16_measured.csv",
        "tables/16_pays_table.csv",
        "tables/16_verdicts.csv",
        "tables/17_processes_table.csv",
        "tables/18_control.csv",
        "tables/20_scores.csv",
        "tables/21_cnns_table.csv",
        "tables/21_levels.csv",
    ],
    "standard-eurosat": ["tables/07_accuracy_table.csv"],
    "standard-brandenburg-smallcnn-24": ["tables/07_accuracy_table.csv"],
}
RIVALS = ("balanced", "uneven-plain", "uneven-plain-retuned", "speed-weighted")

# Folders with the accuracy of runs, in the order of the table's rows.
ACCURACY = [folder for folder in KEPT if folder != "quick"]

# The strategies whose differences are shown for each setting.
VARIED = ("balanced", "uneven-plain")

# Learning rates of a search, times its seeds.
SEARCHED = 3 * 2

# Samples of a global batch, over which the fixed part of a step is spread.
BATCH = 128

MILLISECONDS_OF_AN_HOUR = 3.6e6

# Seconds of `07_accuracy` below which its runs must have been there from before.
FROM_BEFORE = 600


def bundle(profile: str) -> dict[str, Any]:
    """Return what a recorded run of all notebooks says of itself."""
    summary: dict[str, Any] = json.loads((RECORDED / profile / "bundle.json").read_text())
    return summary


def _runs(folder: str) -> list[RunRecord]:
    return read(RECORDED / folder / "07_runs.jsonl").runs


def results_text() -> str:
    """Return findings, checks, the first edition, and what the runs took."""
    parts = [
        *findings_text(),
        *checks_text(),
        *_first_edition_text(),
        _cost_text(),
        _full_text(),
    ]
    return "\n\n".join(parts)


def _first_edition_text() -> list[str]:
    """Return the short trainings and measured times of notebooks 07, 09 and 14, and verdicts."""
    first = _runs("standard")[0].experiment
    shares = slashed(first["shares"])
    weak, runs = _hardly_trained()
    text = (
        f"Short trainings ({first['epochs']} epochs but for the last row) with shares in "
        f"proportion to nominal speeds, {shares}. This is a worst case: n_eff/B is "
        f"{_plain_worth():.2f}, and by the step model the slow devices are better left out; on "
        "that platform the balanced run is slower than the fast device alone (`08_convergence`). "
        f"{weak} of {runs} runs of one process end below a classical method on the same windows "
        "(last column), so read the points as those of trainings that are too short."
    )
    return [
        "### First edition: short trainings, worst-case shares",
        text,
        *_accuracy_text(),
        *_settings_text(),
        *_time_text(),
        descriptive_text(),
    ]


def _accuracy_text() -> list[str]:
    rows = []
    for folder in ACCURACY:
        epochs = _runs(folder)[0].experiment["epochs"]
        accuracy = frame(folder, "07_accuracy_table")
        for (dataset, model), part in accuracy.groupby(["dataset", "model"], sort=False):
            weak = _below_the_floor(folder, str(dataset), part)
            rows.append([f"{dataset}, {model}", str(epochs), *_differences(part), weak])

    first = _runs("standard")[0].experiment
    shares = slashed(first["shares"])
    text = (
        f"Accuracy (`07_accuracy`: virtual replicas with shares {shares}, the same weights and "
        f"sample order for every strategy, {_seeds()} seeds, learning rate chosen on validation "
        "data): test OA of `single`, one process with the whole batch (%), and paired differences "
        "to it in points, with 95 % intervals; †: so many of the runs are at chance. n_eff/B of "
        f"the plain mean (also retuned) is {_plain_worth():.2f}, of the others {_other_worth()}. "
        f"{_edges()} EuroSAT is a part "
        "of its RGB images, which is not in the clone (`-p datasets eurosat`). The last row trains "
        "longer: `papermill "
        "notebooks/07_accuracy.ipynb out.ipynb -p profile standard -p datasets brandenburg "
        "-p models smallcnn -p epochs 24`."
    )
    floor = "better of forest and logistic regression; single below it"
    head = ["data set, CNN", "epochs", "single", *RIVALS, floor]
    return [text, table(head, rows)]


def _hardly_trained() -> tuple[int, int]:
    """Return how many of all runs of one process are no better than a floor, and of how many."""
    weak = 0
    runs = 0
    for folder in ACCURACY:
        accuracy = frame(folder, "07_accuracy_table")
        single = accuracy[accuracy.strategy == "single"]
        weak += int(single[["at chance", "below the floor"]].to_numpy().sum())
        runs += len(single) * len({run.experiment["seed"] for run in _runs(folder)})
    return weak, runs


def _below_the_floor(folder: str, dataset: str, accuracy: pd.DataFrame) -> str:
    """Return what the better classical method gets, and how many runs of one process get less."""
    floors = read(RECORDED / folder / "07_floors.jsonl").value.set_index("dataset")
    runs = len({run.experiment["seed"] for run in _runs(folder)})
    single = accuracy.set_index("strategy").loc["single"]
    weak = single["at chance"] + single["below the floor"]
    floor = max(floors.forest[dataset], floors.logistic[dataset])
    return f"{floor:.1f}; {weak:.0f} of {runs}"


def _seeds() -> int:
    return len({run.experiment["seed"] for run in _runs("standard")})


def _worth(strategy: str) -> float:
    accuracy = frame("standard", "07_accuracy_table")
    return float(accuracy[accuracy.strategy == strategy]["n_eff/B"].iloc[0])


def _plain_worth() -> float:
    return _worth("uneven-plain")


def _edges() -> str:
    """Say in how many rows the best rate is the lowest or the highest of those tried."""
    edges = 0
    searches = 0
    for folder in ACCURACY:
        rates = read(RECORDED / folder / "07_runs.jsonl").head["parameters"]["lrs"]
        accuracy = frame(folder, "07_accuracy_table")
        best = accuracy[accuracy.strategy == "single"].lr
        edges += int(best.isin([min(rates), max(rates)]).sum())
        searches += len(best)
    return (
        f"In {edges} of {searches} rows the best rate is the lowest or the highest of the "
        "three tried, so that a better one may lie beyond."
    )


def _other_worth() -> str:
    return " and ".join(f"{_worth(name):.2f} ({name})" for name in ("balanced", "speed-weighted"))


def _differences(accuracy: pd.DataFrame) -> list[str]:
    """Return OA of single, and the rivals' differences to it."""
    by = accuracy.set_index("strategy")
    single = by.loc["single"]
    cells = [f"{100 * single['oa']:.1f} ± {100 * single['oa ±']:.1f}"]
    for name in RIVALS:
        rival = by.loc[name]
        cell = _told(rival["OA - single"], rival["low"], rival["high"])
        if rival["at chance"]:
            cell += f" †{rival['at chance']:.0f}"
        cells.append(cell)
    return cells


def _told(mean: float, low: float, high: float) -> str:
    """Return a difference with its interval; one that is 0 in every run has none."""
    if mean == low == high == 0:
        return "0 in every run"
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _settings_text() -> list[str]:
    text = (
        f"Other settings (`14_settings`: one thing changed at a time from the first row above, "
        f"{_seeds()} seeds), differences to `single` in the same way; *own rate*: that first row "
        "again, with the plain mean's learning rate searched for itself:"
    )
    own = frame("standard", "14_own_rate").assign(setting="base, own rate")
    differences = frame("standard", "14_differences")
    changed = differences[differences.setting != "base"]  # which the table above has
    differences = pd.concat([changed, own])
    rows = []
    for setting, part in differences.groupby("setting", sort=False):
        cells = [_mean_difference(part[part.strategy == name]) for name in VARIED]
        plain = part[part.strategy == "uneven-plain"]
        worth = f"{plain['n_eff/B'].iloc[0]:.2f}"
        rows.append([str(setting).replace("-", " "), worth, *cells])
    return [text, table(["setting", "n_eff/B of the plain mean", *VARIED], rows)]


def _mean_difference(differences: pd.DataFrame) -> str:
    """Return the mean difference to single with its interval; empty where there is none."""
    if not len(differences):
        return ""
    mean, half = interval(differences["OA - single"])
    return _told(mean, mean - half, mean + half)


def _time_text() -> list[str]:
    rows = []
    for row in frame("standard", "09_time").to_dict("records"):
        cells = [
            row["model"],
            row["strategy"],
            row["shares"],
            f"{row['n_eff/B']:.2f}",
            f"{row['step (ms)']:.1f} ± {row['step ±']:.1f}",
            f"{row['epoch (s)']:.2f} ± {row['epoch ±']:.2f}",
            f"{row['fastest replica idle (%)']:.0f}",
            f"{row['speedup']:.2f}",
            f"{row['at chance']:.0f} and {row['below the floor']:.0f} of {row['runs']:.0f}",
        ]
        rows.append(cells)
    head = [
        "CNN",
        "strategy",
        "shares",
        "n_eff/B",
        "step (ms)",
        "epoch (s)",
        "fastest replica idle (%)",
        "speedup over equal",
        "runs at chance and below the floor",
    ]
    text = (
        "Steps (`09_time`: measured on two real processes, one slowed down four times; mean and "
        "95 % interval over repeats of one sitting; the runs are too short to say anything by "
        "their scores):"
    )
    return [text, table(head, rows)]


def _cost_text() -> str:
    """Say what the runs took."""
    quick = bundle("quick")
    standard = bundle("standard")
    python = quick["versions"]["python"]
    torch = quick["versions"]["torch"]
    return (
        f"On {quick['cores']} cores the quick profile took {quick['seconds'] / 60:.1f} minutes and "
        f"at most {quick['peak_pss_mb']:.0f} MB in all processes together, the standard profile "
        f"{standard['seconds'] / 60:.0f} minutes{_reservations(standard)} and "
        f"{standard['peak_pss_mb']:.0f} MB (Python {python}, torch {torch}). {_uncounted(standard)}"
        "The strategies are explained in `hetlib/training/strategies.py`."
    )


def _reservations(bundle: dict[str, Any]) -> str:
    """Say why the minutes are not those of one run from the beginning to the end."""
    seconds = {entry["name"]: entry["seconds"] for entry in bundle["notebooks"]}
    text = ""
    if seconds["07_accuracy"] <= FROM_BEFORE:
        text += " (with the runs of `07_accuracy` there from before)"
    # see `hetlib_bundle.running.ledger`
    if abs(bundle["seconds"] - sum(seconds.values())) < 1:
        text += " (notebooks run at different times, added up)"
    return text


def _uncounted(bundle: dict[str, Any]) -> str:
    """Say whose time is not in that of a run of the bundle."""
    known = {entry["name"] for entry in bundle["notebooks"]}
    others = [f"`{head.name}`" for head in read_heads() if head.name not in known]
    if not others:
        return ""
    return f"Not counted are {', '.join(others)}, whose runs were made apart and not timed. "


def _full_text() -> str:
    """Say what the profile full would take, which has not been run."""
    full = get_profile("full")
    classes = {run.experiment["dataset"]: len(run.confusion) for run in _runs("standard")}
    seeds = len(full.seeds)

    strategies = 2 + len(RIVALS)
    runs = SEARCHED + strategies * seeds
    accuracy = 0.0
    for dataset in full.datasets:
        for model in full.models:
            accuracy += _hours(model, runs, classes[dataset])

    each = SEARCHED + 3 * seeds
    settings = _hours("smallcnn", each * len(SETTINGS), classes["brandenburg"])
    for model in full.other_models:
        settings += _hours(model, each, classes["brandenburg"])

    return (
        "The profile `full` (`make reproduce PROFILE=full`) is for a GPU and has not been run. By "
        "the step times of `03_models`, training alone would take at most "
        f"{accuracy:,.0f} hours of one core in `07_accuracy` and {settings:,.0f} in `14_settings`; "
        "what a GPU needs was not measured."
    )


def _hours(model: str, runs: int, classes: int) -> float:
    """Return hours of training on one core at profile full, at 16 x 16 pixels.

    By the step times in the record of 03. Nothing but training is counted, and every class has as
    many samples as the profile admits.
    """
    full = get_profile("full")
    measured = read(RECORDED / "standard" / "03_costs.jsonl").value[0]
    costs = measured.set_index("model").loc[model]
    samples = runs * full.epochs * classes * full.per_class
    milliseconds = samples * (costs["per sample (ms)"] + costs["fixed (ms)"] / BATCH)
    return milliseconds / MILLISECONDS_OF_AN_HOUR
