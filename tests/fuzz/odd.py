"""Odd values, and content that is damaged somewhere: a pure function of the generator's seed."""

import copy
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

# Each is made anew, so that no call can spoil the next one's.
VALUES: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: -1,
    lambda: 1,
    lambda: 2.9,
    lambda: -0.0,
    lambda: 10**9,
    lambda: 2**63,
    lambda: 10**30,
    lambda: 10**5000,
    lambda: 1e308,
    lambda: 5e-324,
    lambda: math.nan,
    lambda: math.inf,
    lambda: 1j,
    lambda: "",
    lambda: "31",
    lambda: "no",
    lambda: "a\0b",
    lambda: "../../evil",
    lambda: "x" * 10_000,
    lambda: b"31",
    list,
    lambda: [3, 1],
    lambda: [2.9, 1.2],
    lambda: ["3", "1"],
    lambda: [True, 3],
    lambda: [[3, 1]],
    lambda: [None, math.nan],
    lambda: list(range(5000)),
    lambda: (1,),
    dict,
    lambda: {3: "x", 1: "y"},
    lambda: {"lr": [1]},
    lambda: {1, 2},
    lambda: range(3),
    object,
    lambda: int,
    lambda: id,
    lambda: np.int64(3),
    lambda: np.float32(0.5),
    lambda: np.bool_(True),
    lambda: np.array(3),
    lambda: np.array([3, 1]),
    lambda: np.array(["a"]),
    lambda: np.zeros((2, 2)),
    lambda: np.datetime64("2024-01-01"),
    lambda: torch.tensor(3),
    lambda: torch.tensor([3, 1]),
    lambda: torch.tensor(math.nan),
    lambda: torch.ones(2, 2),
    lambda: torch.empty((), device="meta"),
)

# What a file of text can hold in place of a value.
PLAIN = (
    None,
    True,
    0,
    -1,
    1,
    2.9,
    10**9,
    10**30,
    "",
    "31",
    [],
    [1],
    [[1]],
    {},
    {"a": 1},
    "x" * 999,
)

BYTES = (
    b"\xff",
    b"\x00",
    b"\xef\xbb\xbf",
    b"&a [*a]",
    b"\t",
    b"{",
    b"]",
    b"\r",
    b"9" * 5000,
    b": ",
)

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def value(rng: random.Random) -> Any:
    """Return an odd value."""
    return rng.choice(VALUES)()


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in nested lists and mappings."""
    found = [path]
    if isinstance(content, dict):
        pairs = list(content.items())
    elif isinstance(content, list):
        pairs = list(enumerate(content))
    else:
        pairs = []
    for key, part in pairs[:50]:
        found += places(part, (*path, key))
    return found


def changed(rng: random.Random, content: Any) -> Any:
    """Return a tree of values of which one is left out, exchanged, or has a stranger beside it."""
    tree = copy.deepcopy(content)
    path = rng.choice(places(tree))
    if not path:
        return rng.choice(PLAIN)
    *above, last = path
    part = tree
    for key in above:
        part = part[key]
    how = rng.randrange(4)
    if how == 0:
        del part[last]
    elif how == 1 and isinstance(part, dict):
        part[rng.choice(["stranger", 3, "", None])] = rng.choice(PLAIN)
    else:
        part[last] = rng.choice(PLAIN)
    return tree


def damaged(rng: random.Random, content: bytes) -> bytes:
    """Return bytes that were cut, changed or added to, or others altogether."""
    how = rng.randrange(6)
    at = rng.randrange(len(content) + 1)
    if how == 0:
        return content[:at]
    if how == 1:
        return content[:at] + rng.choice(BYTES) + content[at:]
    if how == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 20)) + content[at + 5 :]
    if how == 3:
        return rng.choice([b"", b"\n", b"[]", b"null", LAUGHS.encode(), b"[" * 5000])
    if how == 4:
        return rng.randbytes(rng.randrange(200))
    return content[:at] + content[at // 2 :]
