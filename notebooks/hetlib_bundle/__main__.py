"""``python -m hetlib_bundle``, the same as the command ``hetlib``."""

from .cli import main

main()
