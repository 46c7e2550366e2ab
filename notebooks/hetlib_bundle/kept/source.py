"""Where the values of a notebook come from: computed here, or recorded before.

And the name of the folder that its results go to.
"""

import os
from collections.abc import Sequence

# With the profile that is taken where none is given.
SOURCES = {"computed": "quick", "recorded": "standard"}


def resolve(profile: str, source: str) -> tuple[str, str]:
    """Return profile and source, by ``HETLIB_SOURCE`` and `SOURCES` where they are empty.

    Args:
        profile: Size, or empty.
        source: "computed" or "recorded", or empty.

    Raises:
        ValueError: A source that is not in `SOURCES`.
    """
    source = source or os.environ.get("HETLIB_SOURCE") or "computed"
    if source not in SOURCES:
        raise ValueError(f"`source` (or HETLIB_SOURCE) is {source!r}; allowed are {list(SOURCES)}.")
    return profile or SOURCES[source], source


def results_folder(profile: str, source: str, asked: Sequence[str] = ()) -> str:
    """Return the name of the folder of results.

    What is drawn from records never overwrites what was computed.

    Args:
        profile: Size.
        source: "computed" or "recorded".
        asked: Further words, of a notebook that ran with its own parameters.
    """
    words = [profile]
    if source != "computed":
        words.append(source)
    return "-".join([*words, *asked])
