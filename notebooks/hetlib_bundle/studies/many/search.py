"""A learning rate searched on validation data, until its optimum lies inside the grid."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hetlib.inputs import whole

# Between neighbouring rates.
FACTOR = 2.0


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Rates ``middle * FACTOR ** k``.

    Attributes:
        middle: In the middle of the first rates.
        reach: Of the first rates: k = -reach to reach.
        more: Rates that are added at an edge where the optimum is, at a time.
        most: Times that rates are added.
    """

    middle: float
    reach: int = 2
    more: int = 2
    most: int = 3

    def __post_init__(self) -> None:
        if not self.middle > 0:
            raise ValueError(f"`middle` is {self.middle!r}; a learning rate must be > 0.")
        whole("reach", self.reach, low=1)
        whole("more", self.more, low=1)
        whole("most", self.most, low=0)

    def rates(self, places: Sequence[int]) -> list[float]:
        """Return the rates at places of the grid.

        Args:
            places: Values of k.
        """
        return [float(self.middle * FACTOR**place) for place in places]


class Rate(NamedTuple):
    """A peak learning rate that was chosen.

    Attributes:
        lr: The rate.
        edge: A better one may lie beyond those that were tried.
    """

    lr: float
    edge: bool


def best_of(rates: Sequence[float], means: Sequence[float] | np.ndarray) -> Rate:
    """Return the rate with the best mean score, of equally good ones the lowest.

    Args:
        rates: That were tried, rising, (R,).
        means: Of their scores, (R,).
    """
    best = int(np.argmax(means))
    return Rate(float(rates[best]), edge=best in (0, len(rates) - 1))


class Found(NamedTuple):
    """What a search found.

    Attributes:
        rates: All that were tried, rising, (R,).
        scores: Of them on validation data, (R, S): a column a seed.
    """

    rates: tuple[float, ...]
    scores: np.ndarray

    @property
    def best(self) -> Rate:
        """The rate with the best mean."""
        return best_of(self.rates, self.scores.mean(1))


def search(score: Callable[[Sequence[float]], np.ndarray], grid: Grid) -> Found:
    """Search the rate with the best mean score.

    Args:
        score: Takes rates (R,) and returns their scores on validation data, (R, S).
        grid: Where to begin, and how far to go.
    """
    places = list(range(-grid.reach, grid.reach + 1))
    scores = score(grid.rates(places))
    for _ in range(grid.most):
        best = int(scores.mean(1).argmax())
        if best == 0:
            added = list(range(places[0] - grid.more, places[0]))
            places = added + places
            scores = np.concatenate([score(grid.rates(added)), scores])
        elif best == len(places) - 1:
            added = list(range(places[-1] + 1, places[-1] + 1 + grid.more))
            places = places + added
            scores = np.concatenate([scores, score(grid.rates(added))])
        else:
            break
    return Found(tuple(grid.rates(places)), scores)
