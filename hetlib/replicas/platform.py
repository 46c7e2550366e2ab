"""Which replicas exist: device, threads, memory cap and emulated slow-down."""

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hetlib.containers import anything, items, mapping
from hetlib.environment import cores
from hetlib.errors import from_file, wrong
from hetlib.inputs import MOST_SAMPLES, keep, number, optional, text, whole
from hetlib.reading import read_yaml

# More than any machine has; each thread of a replica costs memory.
MOST_THREADS = 4096

# A step of a millisecond lasts ten seconds then.
MOST_SLOWDOWN = 10_000

# A cap may be far above any batch: as many as there are bytes of memory, where a sample takes few.
MOST_CAP = 2**53

# Of a platform; beyond, a number is a slip of the keyboard.
MOST_REPLICAS = 100_000

# Torch counts GPUs of a machine in one signed byte.
_DEVICE = re.compile("cpu|cuda(:(0|[1-9][0-9]?|1[01][0-9]|12[0-7]))?")


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
        device = _device("device", self.device)
        slowdown = _slowdown("slowdown", self.slowdown)
        if slowdown > 1 and device != "cpu":
            raise wrong(
                "slowdown", slowdown, f"1 on {device!r}", "only a CPU replica can be slowed."
            )
        keep(
            self,
            device=device,
            threads=whole("threads", self.threads, low=1, high=MOST_THREADS),
            slowdown=slowdown,
            max_batch=optional(whole, "max_batch", self.max_batch, low=1, high=MOST_CAP),
            multiple=whole("multiple", self.multiple, low=1, high=MOST_SAMPLES),
        )

    @property
    def place(self) -> str:
        """The device with its number: ``"cuda"`` is the first GPU, ``"cuda:0"``."""
        return "cuda:0" if self.device == "cuda" else self.device

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
        replicas = items("replicas", self.replicas, _replica)
        if not replicas:
            raise ValueError(
                "`replicas` is empty; a platform needs at least one, "
                "e.g. Platform.emulated([1, 4])."
            )
        keep(self, replicas=replicas)

    def __len__(self) -> int:
        return len(self.replicas)

    @classmethod
    def emulated(cls, slowdowns: Iterable[float]) -> "Platform":
        """Return CPU replicas of one thread each.

        Args:
            slowdowns: By rank; ``[1, 1, 4]`` is two at full speed and one four times slower.

        Raises:
            ValueError: One is no number from 1 to `MOST_SLOWDOWN`, or there is none.
        """
        checked = items("slowdowns", slowdowns, _slowdown)
        return cls(tuple(Replica(slowdown=slowdown) for slowdown in checked))

    @classmethod
    def from_list(cls, replicas: Sequence[Mapping[str, Any]]) -> "Platform":
        """Build a platform from mappings.

        Args:
            replicas: Fields of `Replica`, and ``count``, which repeats one.

        Raises:
            ValueError: An entry is no mapping, or has an unknown field or a wrong value.
        """
        built: list[Replica] = []
        for rank, entry in enumerate(items("replicas", replicas, anything)):
            fields = mapping(f"replica {rank}", entry, allowed=[*_FIELDS, "count"])
            try:
                left = MOST_REPLICAS - len(built)
                count = whole("count", fields.pop("count", 1), low=1, high=left)
                built += [Replica(**fields)] * count
            except ValueError as error:
                raise ValueError(f"replica {rank}: {error}") from None
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
        what = "platform file"
        content = read_yaml(path, what)
        has_replicas = isinstance(content, Mapping) and set(content) == {"replicas"}
        if not has_replicas or not content["replicas"]:
            problem = "it needs the one key `replicas` with a list under it."
            raise from_file(path, problem, what=what)
        try:
            return cls.from_list(content["replicas"])
        except ValueError as error:
            raise from_file(path, error, what=what) from None

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


_FIELDS = tuple(field.name for field in dataclasses.fields(Replica))


def require_platform(platform: object) -> None:
    """Refuse what is no platform.

    Args:
        platform: What was given.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(platform, Platform):
        raise wrong("platform", platform, "a Platform", "Platform.emulated([1, 4]) makes one.")


def _device(name: str, value: object) -> str:
    words = "'cpu', 'cuda' or 'cuda:<index>'"
    device = text(name, value, words=words)
    if not _DEVICE.fullmatch(device):
        raise wrong(name, value, words)
    return device


def _slowdown(name: str, value: object) -> float:
    try:
        return number(name, value, low=1, high=MOST_SLOWDOWN)
    except ValueError as error:
        raise ValueError(f"{error} To make one faster, slow the others down.") from None


def _replica(name: str, value: object) -> Replica:
    if not isinstance(value, Replica):
        raise wrong(name, value, "a Replica", "Platform.from_list takes mappings.")
    return value
