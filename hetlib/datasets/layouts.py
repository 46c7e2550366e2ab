"""What all images of a tree are brought to, and which images can be."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hetlib.datasets.pictures import Pixels, Shape


class UnlikeError(ValueError):
    """An image is not like the first; the message names both."""


class WiderError(Exception):
    """An image asks for another layout of all.

    Attributes:
        layout: It.
    """

    def __init__(self, layout: "Layout"):
        """Keep the layout.

        Args:
            layout: The one that all images fit in.
        """
        super().__init__(layout)
        self.layout = layout


@dataclass(frozen=True)
class Layout:
    """What all images of a tree are brought to.

    Attributes:
        first: Name of the first image, which all others are like.
        height: In pixels.
        width: In pixels.
        bands: Names of the bands, in their order; None where the files have none.
        dtype: Of the values.
        is_picture: Whether bands are grey or colour, not any.
        unit: Scales of the bands where numbers in the files are whole; None where they are not.
        is_resized: Whether images of any size are brought to this one.
    """

    first: str
    height: int
    width: int
    bands: tuple[str | None, ...]
    dtype: np.dtype
    is_picture: bool
    unit: tuple[float, ...] | None
    is_resized: bool

    @classmethod
    def of_first(cls, name: str, shape: Shape, size: int | None) -> "Layout":
        """Return the layout of one image.

        Args:
            name: Of the image.
            shape: What its header says.
            size: Height and width that every image is brought to; None is its own.
        """
        height = shape.height if size is None else size
        width = shape.width if size is None else size
        return cls(
            first=name,
            height=height,
            width=width,
            bands=shape.bands,
            dtype=shape.dtype,
            is_picture=shape.is_picture,
            unit=shape.unit,
            is_resized=size is not None,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, bands."""
        return (self.height, self.width, len(self.bands))

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels of an image."""
        return self.height * self.width * len(self.bands) * self.dtype.itemsize

    def with_image(self, name: str, shape: Shape) -> "Layout":
        """Return the layout that an image fits in too: this one, or a wider one.

        Args:
            name: Of the image.
            shape: What its header says.

        Raises:
            UnlikeError: There is none; its size, bands or type differ.
        """
        own = (shape.height, shape.width)
        if not self.is_resized and own != (self.height, self.width):
            raise self._unlike(name, shape, "use `size=` or remove it")
        bands = self._bands_with(name, shape)
        dtype = self._type_with(name, shape)
        if (bands, dtype) == (self.bands, self.dtype):
            return self
        first = self.first
        if are_names(bands) and not are_names(self.bands):
            first = name
        return dataclasses.replace(self, first=first, bands=bands, dtype=dtype)

    def _bands_with(self, name: str, shape: Shape) -> tuple[str | None, ...]:
        """Return the bands that an image fits in too."""
        own = shape.bands
        if own == self.bands:
            return self.bands
        if self.is_picture and shape.is_picture and {len(own), len(self.bands)} == {1, 3}:
            return (None,) * 3
        if len(own) != len(self.bands):
            remedy = "give it the same bands or remove it"
            if shape.has_guessed_alpha:
                remedy += (
                    " (a band that is mostly 0 and 255 was taken for alpha; give the bands names, "
                    "and it is one)"
                )
            raise self._unlike(name, shape, remedy)
        if not are_names(own):
            return self.bands
        if not are_names(self.bands):
            return own
        if set(own) != set(self.bands):
            raise UnlikeError(
                f"{name} has the bands {list(own)}, but {self.first} has {list(self.bands)}; "
                "name them alike or remove it."
            )
        return self.bands

    def _type_with(self, name: str, shape: Shape) -> np.dtype:
        """Return the type that an image's values fit in too."""
        both = (self.unit, shape.unit)
        if None not in both and is_one(self.unit) != is_one(shape.unit):
            raise UnlikeError(
                f"{name} has the scales {shape.unit}, but {self.first} has {self.unit}: their "
                "values have different units; write its scale into it (`gdal_edit.py -scale`) or "
                "remove it."
            )
        if shape.dtype == self.dtype:
            return self.dtype
        if None not in both and np.dtype(np.float32) in (shape.dtype, self.dtype):
            return np.dtype(np.float32)
        raise self._unlike(name, shape, "convert it to the same type or remove it")

    def _unlike(self, name: str, shape: Shape, remedy: str) -> UnlikeError:
        """Return the error of an image that is not like the first."""
        own = f"{(shape.height, shape.width, len(shape.bands))} {shape.dtype}"
        wanted = f"{self.shape} {self.dtype}"
        return UnlikeError(
            f"{name} is {own}, but {self.first} is {wanted} (height, width, bands); {remedy}."
        )

    def fit(self, shape: Shape, pixels: Pixels) -> Pixels:
        """Bring the bands of an image into their number and order here.

        Args:
            shape: What the image's header says.
            pixels: Of the image.
        """
        own = shape.bands
        count = len(self.bands)
        if len(own) < count:  # grey
            order = [0] * count
        elif own != self.bands and are_names(own) and are_names(self.bands):
            order = [own.index(name) for name in self.bands]
        else:
            return pixels
        gaps = pixels.gaps
        if gaps is not None:
            gaps = gaps[..., order]
        return Pixels(pixels.values[..., order], gaps)


def are_names(bands: Sequence[str | None]) -> bool:
    """Return whether bands have names that tell them apart.

    Args:
        bands: Their names; None where they have none.
    """
    return None not in bands and "" not in bands and len(set(bands)) == len(bands)


def is_one(unit: tuple[float, ...] | None) -> bool:
    """Return whether scales leave numbers as they are.

    Args:
        unit: Scales of the bands.
    """
    return unit is not None and set(unit) == {1.0}
