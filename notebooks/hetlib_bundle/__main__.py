"""``python -m hetlib_bundle``, the same as the command ``hetlib``."""

from hetlib_bundle.cli import main

main()
