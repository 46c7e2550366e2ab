"""Data-parallel training on replicas of different speed, with gradients weighted by the samples processed."""

import lazy_loader

# Now, not on first use: whoever imports the module `partition` first sets that name here to the
# module, and this line then to the function. Later imports of the module leave it alone.
from .partition import partition as partition

# The names in __init__.pyi, each loaded on its first use: what imports torch takes seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
