"""Record a size: ``python -m hetlib_bundle.studies.many standard`` goes on where it was left."""

import sys
from collections.abc import Sequence
from dataclasses import replace

import torch

from hetlib.inputs import one_of
from hetlib_bundle.studies.many.book import open_record
from hetlib_bundle.studies.many.designs import design
from hetlib_bundle.studies.many.fresh import do_fresh, fresh_design
from hetlib_bundle.studies.many.fresh_tables import ENDING
from hetlib_bundle.studies.many.work import do_all


def main(profile: str, *recipes: str) -> None:
    """Do the work of a size that is not recorded yet: the first runs, then those on fresh seeds.

    Args:
        profile: Size.
        recipes: Names of those to do; none is all.

    Raises:
        ValueError: There is no such size or recipe.
    """
    torch.set_num_threads(1)
    first = design(profile)
    fresh = fresh_design(profile)
    names = recipes or first.recipes
    for name in names:
        one_of("recipe", name, first.recipes)
    first = replace(first, recipes=_chosen(first.recipes, names))
    fresh = replace(fresh, recipes=_chosen(fresh.recipes, names))
    do_all(first, {name: open_record(name, profile) for name in first.recipes})
    do_fresh(fresh, {name: open_record(f"{name}{ENDING}", profile) for name in fresh.recipes})


def _chosen(there: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the recipes that are asked for, in the order of the design."""
    return tuple(name for name in there if name in names)


if __name__ == "__main__":
    main(*sys.argv[1:])
