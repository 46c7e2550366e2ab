"""Which windows of a scene are drawn, and into which splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hetlib.datasets.arguments import classes_to_use, range_of_values
from hetlib.datasets.types import Classes, File, Range
from hetlib.inputs import keep, text, whole

# The way to split that has each class in each split.
STRATIFIED = "stratified"

# Height and width of the squares, in windows; smaller ones let a rare class be in each split.
BLOCK = 8
SIDES = {STRATIFIED: 4}


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """Which windows of a scene are drawn; see `LandCoverScene` for each."""

    window: int
    classes: Classes
    split_by: str
    block: int | None
    regions: File | None
    fractions: Sequence[float]
    per_class: int
    stride: int
    valid_range: Range
    seed: int

    def __post_init__(self) -> None:
        window = whole("window", self.window)
        per_class = whole("per_class", self.per_class)
        stride = whole("stride", self.stride)
        numbers = (window, per_class, stride)
        if min(numbers) < 1:
            raise ValueError(f"`window`, `per_class`, `stride` must be 1 or more, got {numbers}.")
        keep(
            self,
            window=window,
            per_class=per_class,
            stride=stride,
            split_by=text("split_by", self.split_by),
            classes=classes_to_use(self.classes),
            valid_range=range_of_values(self.valid_range),
            seed=whole("seed", self.seed, low=0),
        )
        if self.block is not None:
            whole("block", self.block, low=self.window)
        if self.regions is not None and self.split_by != STRATIFIED:
            raise ValueError(
                f"`regions` are dealt by `split_by={STRATIFIED!r}`, got {self.split_by!r}."
            )

    def side(self) -> int:
        """Return the height and width of the squares, in pixels."""
        if self.block is not None:
            return self.block
        return SIDES.get(self.split_by, BLOCK) * self.window

    def identity(self) -> list[Any]:
        """Tell entries of the cache apart.

        Returns:
            What the windows depend on, besides the source and the range of values.
        """
        classes: Any = self.classes
        if isinstance(self.classes, Mapping):
            classes = list(self.classes.items())
        numbers = (self.window, self.per_class, self.stride)
        return [numbers, classes, self.split_by, self.side(), list(self.fractions), self.seed]
