"""CNNs by name.

A CNN is added by a file in this folder: a function that builds it, and ``ENTRIES`` with an `Entry`
for it. `hetlib.models.registry` finds it there.
"""

from hetlib.models.entry import BATCH
from hetlib.models.registry import MODELS, build_model

__all__ = ["BATCH", "MODELS", "build_model"]
