"""CNNs by name, for any number of bands and windows from 16 x 16 pixels."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

import hetlib.models as folder
from hetlib.balanced.batchnorm import convert_batchnorm
from hetlib.balanced.normalize import ALONE
from hetlib.models.entry import BATCH, Entry
from hetlib.models.others import build_other, check_other, normalises_batches

_NO_CNNS = ("entry", "others", "registry")  # files of this folder


def _collect() -> dict[str, Entry]:
    """Return the entries of all files in this folder by name, in the order of the files' names."""
    found: dict[str, Entry] = {}
    for file in pkgutil.iter_modules(folder.__path__):
        if file.name in _NO_CNNS:
            continue
        module = importlib.import_module(f"hetlib.models.{file.name}")
        for entry in module.ENTRIES:
            if entry.name in found:
                raise ValueError(f"two CNNs have the name {entry.name!r}; rename one.")
            found[entry.name] = entry
    return found


_ENTRIES = _collect()

# Networks, and the norms that each offers (the first is the default).
MODELS: Mapping[str, tuple[str, ...]] = {name: entry.norms for name, entry in _ENTRIES.items()}


def build_model(
    name: str,
    *,
    bands: int,
    classes: int,
    size: int,
    seed: int = 0,
    norm: str | None = None,
    **options: Any,
) -> nn.Module:
    """Build a CNN with random weights.

    The caller's random state stays as it was.

    Args:
        name: One of `MODELS`; a name of torchvision, such as ``resnet50``; ``timm:NAME``; or code
            of the reader's own, ``module:callable``.
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side: at least 16, or 1 for the spectral networks.
        seed: The same gives the same weights on every replica.
        norm: Where the network offers it: ``"group"``, or ``"batch"``: a replica's outputs depend
            on which samples share its local batch. ``"pooled"`` is the same, with running
            statistics pooled by `train`; ``"balanced"`` takes the global batch's, once
            `convert_batchnorm` has named the replicas. None is the network's default.
        options: Further arguments of a network that is not one of `MODELS`.

    Returns:
        A network from ``(n, bands, size, size)`` to ``(n, classes)``.

    Raises:
        ValueError: There is no such network, norm, option or size.

    Example:
        >>> model = build_model("resnet18", bands=13, classes=10, size=64, norm="group")
    """
    given = dict(options)
    if norm is not None:
        given["norm"] = norm
    return build_with(name, given, bands=bands, classes=classes, size=size, seed=seed)


def build_with(
    name: str,
    options: Mapping[str, Any],
    *,
    bands: int,
    classes: int,
    size: int,
    seed: int,
) -> nn.Module:
    """Build a CNN as `build_model` does, with options of any name.

    Args:
        name: The same.
        options: The same, ``norm`` among them; an option of the reader's code goes before what the
            data decide.
        bands: Channels of the images.
        classes: Outputs.
        size: Pixels of a side.
        seed: The same gives the same weights on every replica.

    Returns:
        The network.

    Raises:
        ValueError: There is no such network, norm, option or size.
    """
    check_model(name, options)
    if name in MODELS and size < _ENTRIES[name].least_size:
        least = _ENTRIES[name].least_size
        raise ValueError(
            f"`size` is {size}; images must be at least {least} pixels wide for {name}."
        )
    norm = options.get("norm")
    more = {key: value for key, value in options.items() if key != "norm"}
    # drawn on the CPU, also where torch's default is a GPU, whose random state stays
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        if name in MODELS:
            build = _ENTRIES[name].build
            model = build(bands=bands, classes=classes, size=size, norm=norm)
        else:
            model = build_other(
                name, bands=bands, classes=classes, size=size, norm=norm, options=more
            )
    if norm == "balanced":
        return convert_batchnorm(model, ALONE)
    return model


def check_model(name: object, options: Mapping[str, Any]) -> None:
    """Refuse a network that is not known, or options that it does not take; none is built.

    Args:
        name: As `build_model` takes it.
        options: Arguments besides those that the data and the seed decide.

    Raises:
        ValueError: There is no such network, or it does not take an option.
        MissingDependencyError: The package that the network is of is not installed.
    """
    if not isinstance(name, str) or name not in MODELS:
        check_other(name, options, MODELS)
        return
    for key in options:
        if key != "norm":
            raise ValueError(
                f"`model_options`: {name} got an unexpected keyword argument {key!r}; "
                "allowed is 'norm'."
            )
    norm = options.get("norm")
    if norm is not None and norm not in MODELS[name]:
        raise ValueError(f"`norm` is {norm!r}; {name} offers {MODELS[name] or 'no choice'}.")


def depends_on_batch(name: str, norm: str | None, model: nn.Module) -> bool:
    """Return whether a network's outputs for a sample depend on the samples beside it.

    Args:
        name: As `build_model` takes it.
        norm: The one asked for; None: the network's default.
        model: The network itself, which alone tells where it has no entry.
    """
    if name not in MODELS:
        return normalises_batches(model)
    return (norm or next(iter(MODELS[name]), None)) in BATCH
