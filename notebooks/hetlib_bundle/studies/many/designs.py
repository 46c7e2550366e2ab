"""Which cells there are, in two sizes, in the order in which they are worth having."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hetlib.inputs import one_of
from hetlib_bundle.studies.many.cells import Cell
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.floors import TREES
from hetlib_bundle.studies.many.recipes import recipe

# Samples of a step over all replicas.
GLOBAL_BATCH = 128

# From hardly uneven, as planners make them, to such as none would make; n_eff / B falls.
SHARES = (
    (80, 48),
    (107, 21),
    (59, 38, 26, 5),
    (118, 10),
    (90, 26, 9, 3),
    (64, 32, 16, 8, 4, 2, 1, 1),
)

# Those for which every kind of shard, and its balanced twin, is trained.
CLOSELY = ((107, 21), (90, 26, 9, 3))

# Of `conditions.SAMPLINGS`, those that the map of regimes shows.
MAPPED = ("iid", "random", "class")


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is trained at a size.

    Attributes:
        recipes: Names.
        steps: Lengths of the trainings, in the order in which they are worth having.
        shares: Of the platforms.
        closely: Those for which every kind of shard is trained.
        seeds: Of the runs that are scored on test data.
        search_seeds: Of those that rates are chosen on.
        trees: Of the random forest beside the networks.
        only_shown: Shares are looked at closely where a figure or claim does, after the longest
            training; otherwise after each, and beside one process on a part of the data.
    """

    recipes: tuple[str, ...]
    steps: tuple[int, ...]
    shares: tuple[tuple[int, ...], ...]
    closely: tuple[tuple[int, ...], ...]
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    trees: int = TREES
    only_shown: bool = False

    def conditions(self, name: str, steps: int) -> list[Condition]:
        """Return the conditions of a recipe and length, that of one process first.

        Args:
            name: Of the recipe.
            steps: Of the trainings.
        """
        found = [Condition("single", (GLOBAL_BATCH,))]
        for shares in self.shares:
            found.append(Condition("small", shares))
            for sampling in MAPPED:
                found.append(Condition("plain", shares, sampling))
        if self.only_shown and steps < max(self.steps):
            return found
        for shares in self.closely:
            if not self.only_shown:
                found.append(Condition("subset", shares))
            found += _closely(shares, has_places=recipe(name).has_places)
        return found

    def cells(self) -> Iterator[Cell]:
        """Yield all cells, the most telling first: every recipe at one length, then at the next."""
        for steps in self.steps:
            for name in self.recipes:
                yield from self.cells_of(name, steps)

    def cells_of(self, name: str, steps: int) -> Iterator[Cell]:
        """Yield the cells of one recipe and length.

        Args:
            name: Of the recipe.
            steps: Of the trainings.
        """
        for condition in self.conditions(name, steps):
            yield Cell(
                recipe=name,
                condition=condition,
                steps=steps,
                seeds=self.seeds,
                search_seeds=self.search_seeds,
            )


def _closely(shares: tuple[int, ...], *, has_places: bool) -> list[Condition]:
    """Return the further conditions of shares that are looked at closely."""
    kinds = ["random", "class", "half"]
    further = ["half"]
    if has_places:
        kinds.append("region")
        further.append("region")
    found = [Condition("plain", shares, kind) for kind in further]
    found += [Condition("balanced", shares, kind) for kind in kinds]
    return found


DESIGNS = {
    "quick": Design(
        recipes=("wake-pixels",),
        steps=(50, 200),
        shares=((107, 21), (90, 26, 9, 3)),
        closely=((90, 26, 9, 3),),
        seeds=tuple(range(4)),
        search_seeds=(100,),
        trees=50,
        only_shown=True,
    ),
    "standard": Design(
        recipes=(
            "eurosat-frozen",
            "brandenburg-pixels",
            "pines-pixels",
            "statlog",
            "wake-pixels",
        ),
        steps=(200, 50, 800),
        shares=SHARES,
        closely=CLOSELY,
        seeds=tuple(range(10)),
        search_seeds=(100, 101, 102, 103),
    ),
}
DESIGNS["full"] = replace(DESIGNS["standard"], steps=(200, 50, 800, 1600, 400, 100))


def design(profile: str) -> Design:
    """Return the design of a size.

    Args:
        profile: One of `DESIGNS`.

    Raises:
        ValueError: There is none of this name.
    """
    one_of("profile", profile, DESIGNS)
    return DESIGNS[profile]
