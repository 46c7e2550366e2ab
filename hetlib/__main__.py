"""``python -m hetlib``, the same as the command ``hetlib``."""

from hetlib_bundle.cli import main

main()
