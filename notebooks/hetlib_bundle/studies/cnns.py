"""CNNs that learn from scratch: what a plain mean over uneven shares costs them.

One network learns for two lengths, under several conditions and with several seeds. A seed draws
weights, order, augmentation and the split of the data, so that conditions are compared pair by
pair. Rates are searched on validation data: for one process, and for the plain mean.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple, TypeAlias

from hetlib.datasets import load_dataset
from hetlib.datasets.window_options import STRATIFIED
from hetlib.errors import DatasetNotFoundError
from hetlib.training.experiment import Experiment
from hetlib_bundle.profiles import Profile
from hetlib_bundle.studies.many.cells import OWN, REFERENCE
from hetlib_bundle.studies.many.conditions import Condition
from hetlib_bundle.studies.many.search import Rate

# What trains a condition, by its kind.
STRATEGIES = {
    "single": "single",
    "small": "single",
    "plain": "uneven-plain",
    "balanced": "balanced",
}

# Of `many.conditions.SAMPLINGS`, those with parts that replicas own: data sets have the same words.
SHARDED = ("random", "class")

Shares: TypeAlias = tuple[int, ...]


class Planned(NamedTuple):
    """A condition, and the rate that it is trained at."""

    condition: Condition

    # `REFERENCE`: that searched for one process; `OWN`: that searched for the plain mean over
    # i.i.d. draws with these shares. One process's own is the reference.
    role: str


# By data set, kind ("single" or "plain") and length.
Rates: TypeAlias = Mapping[tuple[str, str, int], Rate]


class Cell(NamedTuple):
    """One run, and where it belongs."""

    planned: Planned

    rate: Rate

    experiment: Experiment


def base_of(dataset: str, size: Profile, **settings: Any) -> Experiment:
    """Return what is the same in the runs of a data set.

    The network has GroupNorm, so that a sample's output does not depend on the shares. A scene is
    split by squares that the seed deals, with each class in each split.

    Args:
        dataset: Name of the data set.
        size: Whose options it is opened with.
        settings: Further fields of the experiment.
    """
    options = size.dataset_options(dataset)
    if "per_class" in options:
        options["split_by"] = STRATIFIED
    return Experiment(
        dataset=dataset, dataset_options=options, model_options={"norm": "group"}, **settings
    )


def there(bases: Iterable[Experiment]) -> list[Experiment]:
    """Return those whose data can be had here.

    Args:
        bases: From `base_of`.
    """
    found = []
    for base in bases:
        try:
            load_dataset(base.dataset, **base.dataset_options)
        except DatasetNotFoundError:
            continue
        found.append(base)
    return found


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is trained.

    Attributes:
        bases: An experiment a data set, with all that is the same in its runs.
        steps: Lengths of the trainings.
        worst: Very uneven shares; their plain mean has a search of its own.
        mild: Less uneven shares; empty: none.
        lrs: Peak learning rates that are tried, rising.
        seeds: Of the runs that are scored on test data.
        search_seeds: Of those that rates are chosen on.
    """

    bases: tuple[Experiment, ...]
    steps: tuple[int, ...]
    worst: Shares
    mild: Shares
    lrs: tuple[float, ...]
    seeds: tuple[int, ...]
    search_seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        named = {"bases": self.bases, "steps": self.steps, "lrs": self.lrs, "seeds": self.seeds}
        for name, values in named.items():
            if not values:
                raise ValueError(f"`{name}` is empty; give one at least.")
        if self.mild and sum(self.mild) != sum(self.worst):
            raise ValueError(
                f"`mild` is {self.mild} and `worst` {self.worst}; their sums must be equal: "
                "one process with the whole batch stands beside both."
            )

    @property
    def searched(self) -> tuple[Condition, Condition]:
        """The conditions whose rates are searched: one process, and the plain mean."""
        return Condition("single", (sum(self.worst),)), Condition("plain", self.worst)

    def parts(self) -> list[list[Planned]]:
        """Return what is trained, the most telling first: with a part done, its rows are whole."""
        single, plain = self.searched
        first = [
            Planned(single, OWN),
            Planned(plain, REFERENCE),
            Planned(plain, OWN),
            Planned(Condition("small", self.worst), OWN),
            *_with_shards("class", self.worst),
        ]
        if not self.mild:
            return [first]
        second = [
            Planned(Condition("plain", self.mild), REFERENCE),
            *_with_shards("class", self.mild),
            *_with_shards("random", self.worst),
        ]
        return [first, second]

    @property
    def size(self) -> int:
        """How many runs there are beside the searches."""
        conditions = sum(len(part) for part in self.parts())
        return conditions * len(self.bases) * len(self.seeds) * len(self.steps)

    def trials(self) -> list[Experiment]:
        """Return the runs of the searches, scored on validation data."""
        found = []
        for tried in product(self.bases, self.searched, self.steps, self.lrs):
            case = case_of(*tried)
            found += [_seeded(case, seed, "validation") for seed in self.search_seeds]
        return found

    def cells(self, rates: Rates) -> Iterator[Cell]:
        """Yield all runs: a part of one data set seed by seed, then that of the next.

        Args:
            rates: From `best_rates`.
        """
        for part in self.parts():
            for base, seed, planned, steps in product(self.bases, self.seeds, part, self.steps):
                yield _cell(base, planned, steps, seed, rates)


def _with_shards(sampling: str, shares: Shares) -> list[Planned]:
    """Return the plain mean with shards, and beside it the balanced gradient at the same rate."""
    return [Planned(Condition(kind, shares, sampling), REFERENCE) for kind in ("plain", "balanced")]


def _cell(base: Experiment, planned: Planned, steps: int, seed: int, rates: Rates) -> Cell:
    of_plain = planned.role == OWN and planned.condition.kind != "single"
    searched = "plain" if of_plain else "single"
    rate = rates[base.data_name, searched, steps]
    case = case_of(base, planned.condition, steps, rate.lr)
    return Cell(planned, rate, _seeded(case, seed, "test"))


def case_of(base: Experiment, condition: Condition, steps: int, lr: float) -> Experiment:
    """Return what trains a condition.

    Args:
        base: With all that is the same in the runs of a data set.
        condition: How the gradient is formed.
        steps: Of the whole training.
        lr: Peak learning rate.
    """
    options = dict(base.dataset_options)
    if condition.sampling in SHARDED:
        options["shards"] = condition.sampling
    return replace(
        base,
        strategy=STRATEGIES[condition.kind],
        global_batch=sum(condition.drawn),
        shares=condition.drawn,
        epochs=steps,  # never too few: an epoch has a step at least
        max_steps=steps,
        lr=lr,
        evaluate_every=0,
        dataset_options=options,
    )


def _seeded(case: Experiment, seed: int, split: str) -> Experiment:
    """Return a run with a seed, which the split of the data takes, too, scored on a split."""
    options = {**case.dataset_options, "seed": seed}
    return replace(case, seed=seed, evaluate_split=split, dataset_options=options)
