"""Networks that have no entry here: the reader's own, any of torchvision, any of timm.

Names are ``module:callable``, torchvision's own such as ``resnet50``, and ``timm:NAME``. Weights
are random in each case.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from hetlib.errors import require, shown
from hetlib.models.entry import BATCH
from hetlib.models.vision import torchvision_cnn
from hetlib.owncode import check_options, is_own, load_own

TIMM = "timm:"  # before the name of one of its networks

# What code calls the sizes that the data decide: a parameter of one of these names gets it.
BANDS = ("bands", "in_channels", "in_chans", "num_channels", "channels", "n_bands", "num_bands")
CLASSES = ("classes", "num_classes", "n_classes", "nb_classes", "num_labels")
SIZE = ("size", "image_size", "img_size", "input_size")

# Of networks that are not the reader's: what they are built with besides the options.
_TORCHVISION = ("num_classes", "weights", "progress")
_TIMM = ("model_name", "in_chans", "num_classes", "pretrained")


def is_readers(name: object) -> bool:
    """Return whether a network's name is that of code of the reader's own.

    Args:
        name: As `build_other` takes it.
    """
    return is_own(name) and not str(name).startswith(TIMM)


def check_other(name: object, options: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a network that there is not, or options that it does not take; none is built.

    Args:
        name: As `build_other` takes it.
        options: The same, ``norm`` among them.
        known: Names of those that have an entry, for the message.

    Raises:
        ValueError: It is no such name, the code cannot be imported, or takes no such option.
        MissingDependencyError: It is timm's, and timm is not installed.
    """
    field = "model_options"
    given = {key: value for key, value in options.items() if key != "norm"}
    if isinstance(name, str) and name.startswith(TIMM):
        _timm_name(name)
        for key in given:
            if key in _TIMM:
                raise ValueError(
                    f"`{field}` has {key!r}, which the data and `seed` decide; omit it."
                )
    elif is_readers(name):
        make = load_own("model", str(name))
        check_options(field, _asked(make, options), make, supplied=_supplied(make))
    else:
        check_options(field, given, _torchvision_builder(name, known), given=_TORCHVISION)
    _check_norm(name, options)


def build_other(
    name: str, *, bands: int, classes: int, size: int, norm: str | None, options: Mapping[str, Any]
) -> nn.Module:
    """Build a network that has no entry, with random weights.

    Args:
        name: ``module:callable``, ``timm:NAME``, or a name of torchvision.
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side.
        norm: None: its own. One of `BATCH`: it normalises over batches, and this says how. For
            torchvision's ``"group"``, too.
        options: Further arguments. Code of the reader's also gets ``bands``, ``classes`` and
            ``size`` where it has parameters of these or the usual other names.

    Returns:
        The network.

    Raises:
        ValueError: The network cannot be built so, or does not normalise over batches.
    """
    try:
        if name.startswith(TIMM):
            timm = require("timm", "timm")
            network = timm.create_model(
                _timm_name(name), pretrained=False, in_chans=bands, num_classes=classes, **options
            )
        elif is_readers(name):
            network = _build_own(name, bands, classes, size, norm, options)
        else:
            network = torchvision_cnn(
                name, bands=bands, classes=classes, size=size, norm=norm, **options
            )
    except (ImportError, ValueError):
        raise
    except Exception as error:
        raise ValueError(
            f"`model` {name!r} cannot be built for {bands} bands, {classes} classes and {size} "
            f"pixels with `model_options` {dict(options)}: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"`model` {name!r} gives {type(network).__name__}; it must give a torch.nn.Module."
        )
    takes_norm = is_readers(name) and _has_norm(load_own("model", name))
    if norm in BATCH and not takes_norm and not normalises_batches(network):
        raise ValueError(
            f"`model_options` has norm={norm!r}, and {name} has no BatchNorm; leave `norm` out."
        )
    return network


def normalises_batches(network: nn.Module) -> bool:
    """Return whether a network's outputs for a sample depend on the samples beside it.

    Args:
        network: Any; what counts are its layers of BatchNorm.
    """
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(layer, kind) for layer in network.modules())


def _build_own(
    name: str, bands: int, classes: int, size: int, norm: str | None, options: Mapping[str, Any]
) -> nn.Module:
    """Call the reader's code with what it has parameters for."""
    make = load_own("model", name)
    values: dict[str, Any] = {}
    for names, value in ((BANDS, bands), (CLASSES, classes), (SIZE, size)):
        found = _parameter(make, names)
        if found is not None:
            values[found] = value
    if norm is not None and _has_norm(make):
        values["norm"] = norm
    return make(**(values | dict(options)))


def _parameters(make: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return []


def _parameter(make: Callable[..., Any], names: tuple[str, ...]) -> str | None:
    """Return the first of these names that a callable has a parameter of."""
    there = _parameters(make)
    return next((name for name in names if name in there), None)


def _supplied(make: Callable[..., Any]) -> list[str]:
    """Return the arguments that a callable gets from the data."""
    found = [_parameter(make, names) for names in (BANDS, CLASSES, SIZE)]
    return [name for name in found if name is not None]


def _has_norm(make: Callable[..., Any]) -> bool:
    return "norm" in _parameters(make)


def _asked(make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are the callable's, without a norm that it does not know of."""
    return {key: value for key, value in options.items() if key != "norm" or _has_norm(make)}


def _check_norm(name: object, options: Mapping[str, Any]) -> None:
    norm = options.get("norm")
    allowed = [None, *BATCH]
    if is_readers(name):
        if _has_norm(load_own("model", str(name))):
            return
    elif isinstance(name, str) and not name.startswith(TIMM):
        allowed.append("group")
    if norm not in allowed:
        raise ValueError(f"`norm` is {norm!r}; {name} offers {allowed}.")


def _torchvision_builder(name: object, known: Collection[str]) -> Callable[..., Any]:
    """Return torchvision's function for a network that sorts images."""
    torchvision = require("torchvision", "vision")
    names = torchvision.models.list_models(module=torchvision.models)
    if not isinstance(name, str) or name not in names:
        raise ValueError(f"`model` is {shown(name)}; allowed are {_offered(name, names, known)}")
    return torchvision.models.get_model_builder(name)


def _offered(name: object, names: list[str], known: Collection[str]) -> str:
    """Return what may stand for a network, and the nearest of torchvision's names."""
    near = get_close_matches(shown(name), names, n=3) or ["resnet50"]
    return (
        f"the known models {sorted(known)}, torchvision's, such as {near}, 'timm:NAME', and code "
        "of your own as 'module:callable', such as 'mine:Net' for the Net of mine.py."
    )


def _timm_name(name: str) -> str:
    """Return timm's own name of a network, which it must have."""
    timm = require("timm", "timm")
    own = name.removeprefix(TIMM)
    if not timm.is_model(own):
        near = get_close_matches(own, timm.list_models(), n=3)
        raise ValueError(
            f"`model` is {name!r}, and timm has no {own!r}; near it are {near}, and "
            "timm.list_models() lists all."
        )
    return own
