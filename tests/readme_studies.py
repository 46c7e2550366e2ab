"""The README's sentences on help that pays, real processes, local SGD and fine-tuning."""

import pandas as pd

from hetlib_bundle.claims import register
from hetlib_bundle.claims.verdict import SUPPORTED
from hetlib_bundle.kept.lines import read
from hetlib_bundle.paths import RECORDED
from tests.readme_tables import frame


def studies_text() -> str:
    """Return a paragraph for each study that has no table of its own in the README."""
    told = [_paying(), _processes(), _local_sgd(), _finetuning()]
    return "\n".join(f"- {paragraph}" for paragraph in told)


def surest_cell(report: pd.DataFrame) -> str:
    """Return where P6 is surest, and when it was measured.

    Args:
        report: Rows of the claims, P6 among them.
    """
    claim = report.set_index("claim").loc["P6"]
    cells = frame("standard", "16_verdicts")
    cell = cells.loc[(cells.low - claim.low).abs().idxmin()]
    sittings = frame("standard", "16_measured").sitting
    days = sittings.str[:10].nunique()
    when = "one day" if days == 1 else f"{days} days"
    return (
        f"{cell.model} at {cell.setting}, {sittings.nunique()} sittings of {when}; the largest "
        f"mean effect is {cells.effect.max():.2f}"
    )


def _paying() -> str:
    """Say in how many cells a second device pays, by the batch."""
    table = frame("standard", "16_pays_table")
    margin = register.load()["P6"].margin
    pays = table["speedup over fastest"] > margin
    by_batch = []
    for batch, part in pays.groupby(table.batch):
        by_batch.append(f"{int(part.sum())} of {len(part)} with a batch of {batch}")
    sure = int((frame("standard", "16_verdicts").verdict == SUPPORTED).sum())
    best = table.loc[table["speedup over fastest"].idxmax()]
    return (
        f"**Where help pays** (`16_pays`, measured). The plan is more than {margin:g} times as "
        f"fast as the fast device alone in {int(pays.sum())} of {len(table)} cells (ratio, CNN and "
        f"batch), by the mean over {table.sittings.max()} sittings: {', '.join(by_batch)}. In "
        f"{sure} it is so by the whole 95 % interval, each judged by itself. The largest mean is "
        f"{best['speedup over fastest']:.2f} ({best.model}, 1:{best.ratio:g}, batch {best.batch})."
    )


def _processes() -> str:
    """Say what the claim on real processes is about."""
    table = frame("standard", "17_processes_table")
    fresh = table[table.seeds == "fresh"]
    experiment = read(RECORDED / "standard" / "17_fresh.jsonl").runs[0].experiment
    effects = fresh["OA - single"]
    return (
        f"**Real processes** (`17_processes`, Q1). One data set ({experiment['dataset']}), one CNN "
        f"({experiment['model']}), {experiment['epochs']} epochs, to an OA of "
        f"{fresh.OA.min():.1f} to {fresh.OA.max():.1f} %: two processes end {effects.min():+.2f} "
        f"to {effects.max():+.2f} points from one, by the means of {len(fresh)} settings. Longer "
        "trainings in processes were not compared."
    )


def _local_sgd() -> str:
    """Say whether averaging with the slow device adds anything to small batches."""
    control = frame("standard", "18_control")
    sooner = int((control.high < 1).sum())
    later = int((control.low > 1).sum())
    return (
        "**Local SGD** (`18_rivals`, times modelled). Beside its control, the fast device alone "
        "with a batch as small as that of a local step, it takes "
        f"{control.time.min():.2f} to {control.time.max():.2f} times as long to the target: "
        f"measurably less in {sooner or 'none'} of {len(control)} cases, more in {later or 'none'}."
    )


def _finetuning() -> str:
    """Say where the balanced gradient is not enough, and what it saves the whole network."""
    scores = frame("standard", "20_scores")
    balanced = scores[
        (scores.part == "last block") & (scores.draws == "shards") & (scores.strategy == "balanced")
    ].set_index("statistics")
    whole = scores[
        (scores.part == "whole") & (scores.strategy == "uneven-plain") & (scores.rate != "own")
    ].set_index("statistics")
    plain = whole.loc["local"]
    return (
        "**Fine-tuning** (`20_finetune`: EfficientNet-Lite0, its last block, EuroSAT, "
        f"{balanced.seeds.max()} seeds). Where each replica keeps some of the classes and "
        "BatchNorm takes the statistics of each replica's own samples, the *balanced* gradient is "
        f"{_from_single(balanced.loc['local'])} points from one process, too: C4 does not reach "
        "that far. With statistics of the global batch (`hetlib.convert_batchnorm`) it is "
        f"{_from_single(balanced.loc['balanced'])} points from it. Where the whole network is "
        f"fine-tuned over independent draws ({plain.seeds} seeds, statistics of own samples), the "
        f"plain mean is {plain['OA - balanced']:+.1f} ± {plain['OA - balanced ±']:.1f} points from "
        "the balanced gradient, at one process's rate."
    )


def _from_single(row: pd.Series) -> str:
    return f"{row['OA - single']:+.1f} ± {row['OA - single ±']:.1f}"
