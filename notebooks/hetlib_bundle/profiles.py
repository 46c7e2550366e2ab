"""How much the notebooks compute: the same code in three sizes.

Standard is the smallest size that can decide every claim of data/claims.yaml about the embedded
scenes: two data sets, two CNNs and five seeds. Its epochs and samples were then chosen to take at
most 90 minutes on two cores, by the seconds of an epoch with its evaluation that were measured on
one core of a 2-core virtual machine: smallcnn 1.0 (Brandenburg) and 0.6 (Wake), mobilenet_v3_small
5.4 and 4.0. The 36 runs of 8 epochs of each pair in `07_accuracy` then take some 53 minutes,
`09_time` with both CNNs some 10, and the others some 15. resnet18 takes 34 seconds an epoch there:
for full. `14_settings` takes some 12 to 16 minutes beside `07_accuracy`. It has further CNNs in
full alone, as settings beside the others; its quick size has two settings.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hetlib.containers import mapping
from hetlib.datasets import LandCoverScene
from hetlib.datasets.catalog import DATASETS, OWN_FILES, find
from hetlib.datasets.window_options import STRATIFIED
from hetlib.inputs import one_of
from hetlib.owncode import is_own


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Sizes that a notebook takes where its parameters do not say otherwise."""

    # Of weights and sample order; one run each.
    seeds: tuple[int, ...]

    # Of the runs that are scored.
    epochs: int

    # Most samples of a class in a split.
    per_class: int

    datasets: tuple[str, ...]

    models: tuple[str, ...]

    # Timed runs of each strategy.
    repeats: int

    # Of the timed runs; the first is left out as a warm-up.
    timed_epochs: int

    # Budget of a speed measurement.
    measure_seconds: float

    # Seeds of each rate in the search for one.
    trials: int

    # Of a Monte Carlo check.
    draws: int

    # Height and width that images of class folders are brought to; None: their own.
    pixels: int | None

    # Pixels between those that a land-cover map predicts.
    map_stride: int

    # Of the random forests beside the CNNs.
    trees: int = 100

    # Settings that are compared with the base, by their names in `.studies.settings`; empty: all.
    settings: tuple[str, ...] = ()

    # CNNs that are settings, too.
    other_models: tuple[str, ...] = ()

    # Cells of `16_pays`: ratios of speeds, CNNs and global batches, and the runs of each.
    paying_ratios: tuple[float, ...] = (1.5, 2.0, 4.0, 10.0)

    paying_models: tuple[str, ...] = ("smallcnn", "resnet8")

    paying_batches: tuple[int, ...] = (128, 512)

    # Of each split, there and back.
    paying_turns: int = 6

    paying_steps: int = 6

    def dataset_options(
        self, dataset: str, given: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the options that a data set is opened with at this size.

        Brandenburg is split by blocks, so that each split spans the whole scene, and a scene of the
        reader's own by squares that bring each class into each split.

        Args:
            dataset: Name of a data set; one that is not among ours counts as a scene.
            given: What `options_given` has read: these go before those of the size.

        Returns:
            Keyword arguments of `hetlib.datasets.catalog.load_dataset`.
        """
        return self._usual_options(dataset) | options_for(dataset, given or {})

    def _usual_options(self, dataset: str) -> dict[str, Any]:
        if is_own(dataset):
            return {}
        if _has_class_folders(dataset):
            return {"size": self.pixels} if self.pixels else {}
        options: dict[str, Any] = {"per_class": self.per_class}
        if dataset == "brandenburg":
            options["split_by"] = "blocks"
        if dataset == "scene":
            options["split_by"] = STRATIFIED
        return options


def options_given(text: str | Mapping[str, Any]) -> dict[str, Any]:
    """Read the options of data sets that a notebook's parameter gives.

    Args:
        text: JSON, as ``papermill -p`` gives it, or a mapping, as ``papermill -y`` does; of the
            options, or by data set of each one's.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(text, str) and not text.strip():
        return {}
    content: Any = text
    if isinstance(text, str):
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(
                f"`dataset_options` is {text!r}, which is no JSON ({error}); "
                'write it such as {"root": "mine"}.'
            ) from None
    return mapping("dataset_options", content)


def options_for(dataset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the given options that are a data set's.

    Args:
        dataset: Its name.
        given: Options for all, or a mapping of options for each data set.
    """
    own = given.get(dataset)
    if isinstance(own, Mapping):
        return dict(own)
    if all(isinstance(value, Mapping) for value in given.values()):
        return {}  # all are by name, and none is this data set's
    return dict(given)


def _has_class_folders(dataset: str) -> bool:
    """Say whether a data set has a folder of images for each class; an unknown one has none."""
    if dataset not in (*DATASETS, *OWN_FILES):
        return False
    return find(dataset).kind is not LandCoverScene


PROFILES = {
    "quick": Profile(
        seeds=tuple(range(4)),
        epochs=4,
        per_class=200,
        datasets=("brandenburg",),
        models=("smallcnn",),
        repeats=4,
        timed_epochs=2,
        measure_seconds=1.5,
        trials=1,
        draws=2000,
        pixels=32,
        map_stride=4,
        trees=25,
        settings=("two-replicas", "fixed-shards"),
        paying_ratios=(1.5, 4.0),
        paying_models=("smallcnn",),
        paying_batches=(128,),
        paying_turns=2,
    ),
    "standard": Profile(
        seeds=tuple(range(5)),
        epochs=8,
        per_class=300,
        datasets=("brandenburg", "wake"),
        models=("smallcnn", "mobilenet_v3_small"),
        repeats=6,
        timed_epochs=3,
        measure_seconds=8.0,
        trials=2,
        draws=10000,
        pixels=32,
        map_stride=1,
    ),
    "full": Profile(
        seeds=tuple(range(10)),
        epochs=40,
        per_class=2000,
        datasets=("brandenburg", "wake"),
        models=("smallcnn", "resnet18"),
        repeats=15,
        timed_epochs=4,
        measure_seconds=20.0,
        trials=2,
        draws=20000,
        pixels=None,
        map_stride=1,
        other_models=("resnet18", "vgg11", "mobilenet_v3_small", "densenet121"),
    ),
}


def get_profile(name: str) -> Profile:
    """Return a profile by its name.

    Raises:
        ValueError: There is no profile of this name.
    """
    one_of("profile", name, PROFILES)
    return PROFILES[name]


def chosen(given: Sequence[str] | str, default: Sequence[str]) -> tuple[str, ...]:
    """Return the names given by a notebook's parameter, or the profile's.

    Args:
        given: Names, or one text of names as ``papermill -p`` gives it, such as ``"a,b"``.
        default: The profile's names, taken where none is given.
    """
    if isinstance(given, str):
        given = given.replace(",", " ").split()
    return tuple(given or default)
