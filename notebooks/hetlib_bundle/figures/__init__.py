"""Figures, each a function of records or tables alone."""

from hetlib_bundle.figures.accuracy import accuracy_figure, confusion_figure, statistics_figure
from hetlib_bundle.figures.curves import convergence_figure, cost_figure
from hetlib_bundle.figures.drift import drift_figure
from hetlib_bundle.figures.gradient import effective_batch_figure, weight_figure
from hetlib_bundle.figures.losses import lasting_figure, small_batch_figure
from hetlib_bundle.figures.maps import land_cover_figure
from hetlib_bundle.figures.plans import designer_figure, shares_figure
from hetlib_bundle.figures.regime import recipes_figure, regime_figure
from hetlib_bundle.figures.scaling import efficiency_figure, pays_figure, scaling_figure
from hetlib_bundle.figures.scenes import samples_figure, spectra_figure, splits_figure
from hetlib_bundle.figures.settings import settings_figure
from hetlib_bundle.figures.shards import shards_figure
from hetlib_bundle.figures.style import (
    STYLES,
    RepeatableLayout,
    ieee_style,
    new_figure,
)
from hetlib_bundle.figures.time import step_time_figure, timeline_figure
from hetlib_bundle.figures.to_accuracy import to_accuracy_figure

__all__ = [
    "STYLES",
    "RepeatableLayout",
    "accuracy_figure",
    "confusion_figure",
    "convergence_figure",
    "cost_figure",
    "designer_figure",
    "drift_figure",
    "effective_batch_figure",
    "efficiency_figure",
    "ieee_style",
    "land_cover_figure",
    "lasting_figure",
    "new_figure",
    "pays_figure",
    "recipes_figure",
    "regime_figure",
    "samples_figure",
    "scaling_figure",
    "settings_figure",
    "shards_figure",
    "shares_figure",
    "small_batch_figure",
    "spectra_figure",
    "splits_figure",
    "statistics_figure",
    "step_time_figure",
    "timeline_figure",
    "to_accuracy_figure",
    "weight_figure",
]
