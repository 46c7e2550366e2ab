"""Checks of arguments that planning has in several places."""

from hetlib.errors import wrong
from hetlib.planning.speed import SpeedModel


def speed_model(name: str, value: object) -> SpeedModel:
    """Take a step model.

    Args:
        name: Of the argument, for the message.
        value: What was given.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, SpeedModel):
        raise wrong(name, value, "a SpeedModel", "SpeedModel.constant makes one of a speed.")
    return value
