"""Record a size: ``python -m hetlib_bundle.studies.many standard`` goes on where it was left."""

import sys

import torch

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
    """
    torch.set_num_threads(1)
    first = design(profile)
    names = recipes or first.recipes
    do_all(first, {name: open_record(name, profile) for name in first.recipes if name in names})
    fresh = fresh_design(profile)
    wanted = [name for name in fresh.recipes if name in names]
    do_fresh(fresh, {name: open_record(f"{name}{ENDING}", profile) for name in wanted})


if __name__ == "__main__":
    main(*sys.argv[1:])
