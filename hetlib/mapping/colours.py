"""Colours of classes on maps: usual ones by name, else those of a palette."""

from collections.abc import Mapping

Colour = tuple[int, int, int, int]  # 8-bit RGBA

# Class: colour on maps. Others get one of the palette.
COLOURS = {
    "water": "#3B75AF",
    "forest": "#1B5E20",
    "farm": "#E3C565",
    "agriculture": "#E3C565",
    "meadow": "#9CCC65",
    "herbaceous": "#9CCC65",
    "grass": "#C5E1A5",
    "scrub": "#8D6E63",
    "shrubland": "#8D6E63",
    "wetland": "#4DB6AC",
    "residential": "#C62828",
    "developed": "#C62828",
    "sediment": "#BDBDBD",
}

# matplotlib's tab20, in its order.
PALETTE = (
    "#1F77B4",
    "#AEC7E8",
    "#FF7F0E",
    "#FFBB78",
    "#2CA02C",
    "#98DF8A",
    "#D62728",
    "#FF9896",
    "#9467BD",
    "#C5B0D5",
    "#8C564B",
    "#C49C94",
    "#E377C2",
    "#F7B6D2",
    "#7F7F7F",
    "#C7C7C7",
    "#BCBD22",
    "#DBDB8D",
    "#17BECF",
    "#9EDAE5",
)

NOTHING: Colour = (255, 255, 255, 0)  # where nothing is predicted: white, transparent


def class_colours(classes: Mapping[int, str], nothing: int = 0) -> dict[int, Colour]:
    """Return a colour for each class number, and white, transparent, for none.

    Args:
        classes: Names by number.
        nothing: The number that stands for no class.
    """
    colours = {nothing: NOTHING}
    spare = 0
    for number, name in classes.items():
        chosen = COLOURS.get(name)
        if chosen is None:
            chosen = PALETTE[spare % len(PALETTE)]
            spare += 1
        colours[number] = rgba(chosen)
    return colours


def rgba(colour: str) -> Colour:
    """Return an opaque colour in whole numbers to 255.

    Args:
        colour: As ``#RRGGBB``.

    >>> rgba("#3B75AF")
    (59, 117, 175, 255)
    """
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue, 255
