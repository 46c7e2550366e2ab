"""CNNs by name."""

from hetlib.models.registry import BATCH, MODELS, build_model

__all__ = ["BATCH", "MODELS", "build_model"]
