"""``python -m hetlib``, as torchrun starts it."""

import sys

from hetlib.errors import MissingDependencyError

try:
    from hetlib.cli import main
except MissingDependencyError as error:  # what the command itself is made with
    print(f"hetlib: {error}", file=sys.stderr)
    sys.exit(2)

main()
