"""The README's table of the time to an accuracy: recorded steps times measured ones."""

import pandas as pd

from tests.readme_tables import frame, table

STEPS = "steps to the target (virtual replicas)"
MILLISECONDS = "step (ms, measured)"
OVER = "over equal (computed)"
NEVER = "never reached (of the seeds)"

# In the order of the columns.
RIVALS = ("uneven-plain", "balanced", "fastest-only")


def time_text() -> list[str]:
    """Return the time to an accuracy, a row a data set, and what it shows."""
    found = frame("standard", "09_to_accuracy")
    if not len(found):
        return ["No recorded training reaches the target of the time to accuracy yet."]
    rows = []
    for recipe, part in found.groupby("recipe", sort=False):
        by = part.set_index("strategy")
        plain = by.loc["uneven-plain"]
        steps = [f"{by.loc['equal', STEPS]:.0f}", f"{plain[STEPS]:.0f}"]
        rows.append([str(recipe), *steps, *(_over_equal(by.loc[name]) for name in RIVALS)])

    first = found.groupby("strategy", sort=False).first()
    uneven = first.loc["uneven-plain"]
    head = [
        "data set",
        "steps of one process",
        f"steps of the plain mean, {uneven.shares}",
        f"time of the plain mean, {uneven.shares}",
        f"time of balanced, {first.shares['balanced']}",
        "time of the fast device alone",
    ]
    clock = ", ".join(f"{name} {row[MILLISECONDS]:.1f}" for name, row in first.iterrows())
    text = (
        "**Time to the same accuracy** over that of equal shares (`09_time`; computed): steps of "
        "the recorded trainings of `15_regime` (small networks, virtual replicas), times the steps "
        "of another network, a small CNN, measured on two real processes, one of them four times "
        f"slower ({clock} ms); with the 95 % interval of both together. The shares "
        f"{uneven.shares} keep both replicas, as the strategies by speed need them; n_eff/B of "
        f"their plain mean is {uneven['n_eff/B']:.2f}. {_against_equal(found)}"
    )
    return [text, table(head, rows)]


def _against_equal(found: pd.DataFrame) -> str:
    """Say on how many data sets the plain mean is later than equal shares."""
    plain = found[found.strategy == "uneven-plain"]
    later = plain[plain.low > 1]
    sooner = plain[plain.high < 1]
    unclear = len(plain) - len(later) - len(sooner)
    named = ", ".join(f"{row['recipe']} {row[OVER]:.2f}" for _, row in later.iterrows())
    told = f"{len(later) or 'none'} of {len(plain)} data sets"
    if named:
        told += f" ({named} times as long)"
    return (
        f"The plain mean, for all its faster steps, is later than equal shares on {told}; it is "
        f"sooner on {len(sooner) or 'none'}, and on {unclear or 'none'} the interval does not tell."
    )


def _over_equal(row: pd.Series) -> str:
    """Return a time over that of equal shares with its interval, as text."""
    bound = f" or more ({row[NEVER]} never)" if row[NEVER] else ""
    return f"{row[OVER]:.2f} ({row['low']:.2f} to {row['high']:.2f}){bound}"
