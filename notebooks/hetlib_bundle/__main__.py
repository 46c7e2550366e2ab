"""The command ``hetlib``, also as ``python -m hetlib_bundle``."""

import sys

from hetlib.errors import MissingDependencyError


def main() -> None:
    """Run the command line, or say in one line what is missing for it."""
    try:
        from hetlib_bundle import cli
    except MissingDependencyError as error:  # what the command itself is made with
        print(f"hetlib: {error}", file=sys.stderr)
        sys.exit(2)
    cli.main()


if __name__ == "__main__":
    main()
