"""Which replicas exist: device, threads, memory cap and emulated slow-down."""

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hetlib.environment import cores
from hetlib.errors import require


@dataclass(frozen=True)
class Replica:
    """One worker with its copy of the model.

    Attributes:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.
        threads: Intra-op threads; results are repeatable at a fixed number.
        slowdown: Emulated compute time over the device's own, at least 1 (CPU only).
        max_batch: Most samples of a step; None: as many as fit into the memory free when it is
            planned.
        multiple: What its local batch is a multiple of, e.g. 8 for tensor cores.
    """

    device: str = "cpu"
    threads: int = 1
    slowdown: float = 1.0
    max_batch: int | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        _check_device(self.device)
        _check_count("threads", self.threads)
        _check_count("multiple", self.multiple)
        if self.max_batch is not None:
            _check_count("max_batch", self.max_batch, allowed="None or a whole number >= 1")
        _check_slowdown(self.slowdown, self.device)

    @property
    def name(self) -> str:
        """Short name for tables and figures, e.g. ``cpu/4`` for a CPU slowed four times."""
        if self.slowdown > 1:
            return f"{self.device}/{self.slowdown:g}"
        return self.device


@dataclass(frozen=True)
class Platform:
    """The replicas of one job.

    Attributes:
        replicas: In the order of their ranks.
    """

    replicas: tuple[Replica, ...]

    def __post_init__(self) -> None:
        if not self.replicas:
            raise ValueError(
                "`replicas` is empty; a platform needs at least one, "
                "e.g. Platform.emulated([1, 4])."
            )

    def __len__(self) -> int:
        return len(self.replicas)

    @classmethod
    def emulated(cls, slowdowns: Iterable[float]) -> "Platform":
        """Return CPU replicas of one thread each.

        Args:
            slowdowns: By rank; ``[1, 1, 4]`` is two at full speed and one four times slower.
        """
        return cls(tuple(Replica(slowdown=slowdown) for slowdown in slowdowns))

    @classmethod
    def from_list(cls, replicas: Sequence[Mapping[str, Any]]) -> "Platform":
        """Build a platform from mappings.

        Args:
            replicas: Fields of `Replica`, and ``count``, which repeats one.

        Raises:
            ValueError: An entry is no mapping, or has an unknown field or a wrong value.
        """
        built: list[Replica] = []
        for rank, entry in enumerate(replicas):
            _check_entry(rank, entry)
            fields = dict(entry)
            count = fields.pop("count", 1)
            if not _is_count(count):
                raise ValueError(
                    f"replica {rank} has `count` {count!r}; it must be a whole number >= 1."
                )
            built += [Replica(**fields)] * count
        return cls(tuple(built))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Platform":
        """Read a platform from a file.

        Such as ``replicas: [{device: cuda:0}, {device: cpu, threads: 8, count: 2}]``.

        Args:
            path: Of the file.

        Raises:
            ValueError: It cannot be read, or holds anything else.
            MissingDependencyError: PyYAML is not installed.
        """
        content = _read_yaml(path)
        has_replicas = isinstance(content, Mapping) and set(content) == {"replicas"}
        if not has_replicas or not content["replicas"]:
            raise ValueError(
                f"platform file {str(path)!r} needs the one key `replicas` with a list under it."
            )
        return cls.from_list(content["replicas"])

    @property
    def nominal_speeds(self) -> tuple[float, ...]:
        """Speeds relative to an unslowed replica, ``1 / slowdown``.

        Measured ones come from `measure`.
        """
        return tuple(1 / replica.slowdown for replica in self.replicas)

    @property
    def contended(self) -> bool:
        """Whether the CPU replicas want more threads than this machine has cores.

        Times then include waiting.
        """
        wanted = sum(replica.threads for replica in self.replicas if replica.device == "cpu")
        return wanted > cores()

    def to_list(self) -> list[dict[str, Any]]:
        """Return plain mappings that `from_list` reads back."""
        return [dataclasses.asdict(replica) for replica in self.replicas]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _refuse(name: str, value: object, allowed: str) -> None:
    raise ValueError(f"`{name}` is {value!r}; allowed: {allowed}.")


def _check_count(name: str, value: object, allowed: str = "a whole number >= 1") -> None:
    if not _is_count(value):
        _refuse(name, value, allowed)


def _check_device(device: object) -> None:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", str(device)):
        _refuse("device", device, "'cpu', 'cuda' and 'cuda:<index>'")


def _check_slowdown(slowdown: object, device: str) -> None:
    is_factor = isinstance(slowdown, (int, float)) and 1 <= slowdown < math.inf
    applies = slowdown == 1 or device == "cpu"
    if not is_factor or not applies:
        _refuse(
            "slowdown",
            slowdown,
            "a finite number >= 1 (only a CPU replica can be slowed; "
            "to make one faster, slow the others down)",
        )


def _check_entry(rank: int, entry: object) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(
            f"replica {rank} is {entry!r}; write it as a mapping such as 'device: cpu'."
        )
    known = [field.name for field in dataclasses.fields(Replica)]
    known.append("count")
    unknown = sorted(set(entry) - set(known))
    if unknown:
        raise ValueError(f"replica {rank} has unknown fields {unknown}; allowed are {known}.")


def _read_yaml(path: str | os.PathLike[str]) -> Any:
    yaml = require("yaml", "cli")
    try:
        return yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(
            f"platform file {str(path)!r} is no file of valid YAML ({error}); mend it."
        ) from None
