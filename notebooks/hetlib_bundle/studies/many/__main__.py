"""Record a size: ``python -m hetlib_bundle.studies.many standard`` goes on where it was left."""

import sys

import torch

from hetlib_bundle.studies.many.book import open_record
from hetlib_bundle.studies.many.designs import design
from hetlib_bundle.studies.many.work import do_all


def main(profile: str, *recipes: str) -> None:
    """Do the work of a size that is not recorded yet.

    Args:
        profile: Size.
        recipes: Names of those to do; none is all.
    """
    torch.set_num_threads(1)
    size = design(profile)
    books = {name: open_record(name, profile) for name in size.recipes}
    do_all(size, books)


if __name__ == "__main__":
    main(*sys.argv[1:])
