"""The seconds that planning is given, what it may do with them, and why it took more."""

_LEAST_PART = 0.5  # of the seconds is for timing, however long all that came before took

_LATE = 0.2  # relative; longer than planned, and the plan says so


def left_after(before: float, seconds: float) -> float:
    """Return the seconds of a budget that are for timing.

    Args:
        before: Seconds that went by before it, as for copies of the network and what fits.
        seconds: Budget.
    """
    return max(seconds - before, _LEAST_PART * seconds)


def note(before: float, timing: float, seconds: float, step: float) -> str:
    """Return why planning took longer than it was given; "" where it did not.

    Args:
        before: Seconds before anything was timed.
        timing: Seconds of curves and of real steps of plans.
        seconds: Budget.
        step: Seconds of a step of the plan.
    """
    if before + timing <= (1 + _LATE) * seconds:
        return ""
    sentence = f"planning took {before + timing:.1f} s where {seconds:g} s were given: "
    if before > _LATE * seconds:
        sentence += f"{before:.1f} s went by before anything was timed, for copies and what fits; "
    sentence += "curves and plans take some steps in any case, "
    return sentence + f"and one of the best plan takes {1e3 * step:.1f} ms"
