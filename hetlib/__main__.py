"""``python -m hetlib``, the same as the command ``hetlib``."""

from hetlib.cli import main

if __name__ == "__main__":
    main()
