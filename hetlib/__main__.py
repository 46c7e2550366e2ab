"""``python -m hetlib``, as torchrun starts it."""

from hetlib.cli import main

main()
