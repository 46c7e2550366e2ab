"""Where the values of a notebook come from: computed here, or recorded before; and the folder that results go to."""

import os
from collections.abc import Sequence

# with the profile that is taken where none is given
SOURCES = {"computed": "quick", "recorded": "standard"}


def resolve(profile: str, source: str) -> tuple[str, str]:
    """Return profile and source, by ``HETLIB_SOURCE`` and `SOURCES` where they are empty.

    Raises:
        ValueError: A source that is not in `SOURCES`.
    """
    source = source or os.environ.get("HETLIB_SOURCE") or "computed"
    if source not in SOURCES:
        raise ValueError(f"`source` (or HETLIB_SOURCE) is {source!r}; allowed are {list(SOURCES)}.")
    return profile or SOURCES[source], source


def results_folder(profile: str, source: str, asked: Sequence[str] = ()) -> str:
    """Return the name of the folder of results: what is drawn from records never overwrites what was computed."""
    return "-".join([profile, *([source] if source != "computed" else []), *asked])
