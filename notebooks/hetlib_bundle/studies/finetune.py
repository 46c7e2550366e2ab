"""A pretrained CNN is fine-tuned over uneven shares: whole or its last block, whose statistics.

Here is what is trained, and how much of it at which size; `.finetune_runs` trains it.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hetlib.datasets.catalog import DATASETS, find_root
from hetlib.errors import DatasetNotFoundError
from hetlib.inputs import one_of
from hetlib.training.experiment import Experiment
from hetlib_bundle.studies.many.recipes import WAKE_CLASSES
from hetlib_bundle.studies.many.search import Grid
from hetlib_bundle.studies.tuned import FROZEN, LAST_BLOCK, WHOLE, weights_found

GLOBAL_BATCH = 128

# Very uneven shares: by the recorded step model, their slow devices are better left out.
WORST = (90, 26, 9, 3)

# Whose statistics BatchNorm takes, by the words of the tables.
NORMS = {"frozen": FROZEN, "local": "batch", "pooled": "pooled", "balanced": "balanced"}

SINGLE = "single"
PLAIN = "uneven-plain"
BALANCED = "balanced"

# Whose learning rate a run has: that of one process, or of the plain mean itself.
OF_SINGLE = "one process's"
OWN = "own"
ROLES = (OF_SINGLE, OWN)

IID = "i.i.d."
SHARDS = "shards"
DRAWS = (IID, SHARDS)

# Of 2,160 images, and windows of a class, so that the last batch of an epoch is nearly as large as
# the others: local BatchNorm would see a single image of a slow replica there.
FRACTIONS = (0.592, 0.148, 0.26)
PER_CLASS = 25

# Height and width of the windows, in pixels.
WINDOW = 16


class Case(NamedTuple):
    """What is trained, but for the seed and the rate.

    Attributes:
        part: Of the network, of `.tuned.PARTS`.
        statistics: Of `NORMS`.
        strategy: `SINGLE`, `PLAIN` or `BALANCED`.
        shares: Of the replicas; of one process the global batch.
        draws: Of `DRAWS`.
    """

    part: str
    statistics: str
    strategy: str = SINGLE
    shares: tuple[int, ...] = (GLOBAL_BATCH,)
    draws: str = IID

    @property
    def is_one_process(self) -> bool:
        """Whether the balanced gradient does here what one process does, to rounding."""
        return self.draws == IID and self.statistics in ("frozen", "balanced")

    def reference(self) -> "Case":
        """Return the run of one process that it is compared with."""
        frozen = self.statistics == "frozen"
        return Case(self.part, "frozen" if frozen else "local")

    def searched(self) -> "Case":
        """Return the case whose search gives a plain mean its own rate.

        Pooled statistics are those of the same training as local ones.
        """
        pooled = self.statistics == "pooled"
        return self._replace(statistics="local" if pooled else self.statistics)


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How much of one part is trained.

    Attributes:
        base: Data, network and length of its runs.
        part: Of the network.
        shares: Of the platforms.
        statistics: Of `NORMS`.
        draws: Of `DRAWS`.
        roles: Of `ROLES`: whose rates the plain mean gets; its own with i.i.d. draws alone, with
            which it is searched.
        seeds: Of weights, order and split.
        search_seeds: Of the runs that choose rates.
        grid: Of the rates.
    """

    base: Experiment
    part: str
    shares: tuple[tuple[int, ...], ...]
    statistics: tuple[str, ...]
    draws: tuple[str, ...] = DRAWS
    roles: tuple[str, ...] = ROLES
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]
    grid: Grid

    def searches(self) -> list[Case]:
        """Return the cases that a rate is searched for."""
        found = [Case(self.part, statistics) for statistics in ("frozen", "local")]
        if OWN not in self.roles:
            return found
        for shares in self.shares:
            for statistics in self.statistics:
                found.append(Case(self.part, statistics, PLAIN, shares).searched())
        return list(dict.fromkeys(found))

    def cases(self) -> list[tuple[str, Case]]:
        """Return whose rate a run has, and what it is, one process first."""
        found = [(OF_SINGLE, Case(self.part, statistics)) for statistics in ("frozen", "local")]
        for shares in self.shares:
            for draws in self.draws:
                for statistics in self.statistics:
                    plain = Case(self.part, statistics, PLAIN, shares, draws)
                    found.append((OF_SINGLE, plain))
                    if OWN in self.roles and draws == IID:
                        found.append((OWN, plain))
                    if not plain.is_one_process:
                        found.append((OF_SINGLE, plain._replace(strategy=BALANCED)))
        return found


def has_eurosat() -> bool:
    """Say whether ``HETLIB_DATA`` has EuroSAT."""
    try:
        find_root("eurosat", DATASETS["eurosat"].places)
    except DatasetNotFoundError:
        return False
    return True


def _base(epochs: int, dataset: str, **options: Any) -> Experiment:
    return Experiment(
        dataset=dataset,
        dataset_options=options,
        model="hetlib_bundle.studies.tuned:network",
        model_options={"pretrained": weights_found()},
        global_batch=GLOBAL_BATCH,
        epochs=epochs,
        evaluate_every=0,
    )


def _windows(epochs: int) -> Experiment:
    """Return runs on colour windows of an embedded scene, which every clone has."""
    colours = ("B3_red", "B2_green", "B1_blue")
    return _base(epochs, "wake", bands=colours, classes=WAKE_CLASSES, per_class=PER_CLASS)


def _images(epochs: int, pixels: int) -> Experiment:
    """Return runs on EuroSAT, or on an embedded scene where it is not there."""
    if not has_eurosat():
        return _windows(epochs)
    return _base(epochs, "eurosat", size=pixels, fractions=FRACTIONS)


def design(profile: str) -> tuple[Depth, ...]:
    """Return what is trained at a size, the cheapest part first.

    Args:
        profile: "quick", "standard" or "full".

    Raises:
        ValueError: There is none of this name.
    """
    one_of("profile", profile, ("quick", "standard", "full"))
    last = Depth(
        base=_images(5, 48),
        part=LAST_BLOCK,
        shares=(WORST,),
        statistics=tuple(NORMS),
        seeds=tuple(range(5)),
        search_seeds=(100, 101),
        grid=Grid(middle=0.02, reach=1, more=1),
    )
    if profile == "quick":
        few = replace(
            last,
            base=_windows(6),
            statistics=("frozen", "local"),
            roles=(OF_SINGLE,),
            seeds=(0, 1),
            search_seeds=(100,),
            grid=Grid(middle=0.02, reach=1, most=0),
        )
        return (few,)
    if profile == "full":
        full = replace(
            last,
            base=_images(20, 64),
            shares=((107, 21), WORST),
            seeds=tuple(range(10)),
            grid=Grid(middle=0.02),
        )
        return (full, replace(full, part=WHOLE))
    glimpse = replace(
        last,
        part=WHOLE,
        statistics=("frozen", "local", "balanced"),
        draws=(IID,),
        roles=(OF_SINGLE,),
        seeds=(0, 1, 2),
        search_seeds=(100,),
        grid=Grid(middle=0.01, reach=1, more=1),
    )
    return (last, glimpse)
