"""Which replicas exist: device, threads, memory cap and emulated slow-down."""

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass(frozen=True)
class Replica:
    """One worker with its copy of the model."""

    device: str = "cpu"  # or "cuda", "cuda:<index>"
    threads: int = 1  # intra-op threads; results are repeatable at a fixed number
    slowdown: float = 1.0  # emulated compute time over the device's own, at least 1 (CPU only)
    # most samples of a step; None: as many as fit into the memory free when it is planned
    max_batch: int | None = None
    multiple: int = 1  # what its local batch is a multiple of, e.g. 8 for tensor cores

    def __post_init__(self) -> None:
        slows = isinstance(self.slowdown, (int, float)) and 1 <= self.slowdown < math.inf
        factors = "a finite number >= 1 (only a CPU replica can be slowed; to make one faster, slow the others down)"
        for name, right, allowed in (
            (
                "device",
                re.fullmatch(r"cpu|cuda(:\d+)?", str(self.device)),
                "'cpu', 'cuda' and 'cuda:<index>'",
            ),
            ("threads", _is_count(self.threads), "a whole number >= 1"),
            ("multiple", _is_count(self.multiple), "a whole number >= 1"),
            (
                "max_batch",
                self.max_batch is None or _is_count(self.max_batch),
                "None or a whole number >= 1",
            ),
            ("slowdown", slows and (self.slowdown == 1 or self.device == "cpu"), factors),
        ):
            if not right:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; allowed: {allowed}.")

    @property
    def name(self) -> str:
        """Short name for tables and figures, e.g. ``cpu/4`` for a CPU slowed four times."""
        return self.device + (f"/{self.slowdown:g}" if self.slowdown > 1 else "")


@dataclass(frozen=True)
class Platform:
    """The replicas of one job, in the order of their ranks."""

    replicas: tuple[Replica, ...]

    def __post_init__(self) -> None:
        if not self.replicas:
            raise ValueError(
                "`replicas` is empty; a platform needs at least one, e.g. Platform.emulated([1, 4])."
            )

    def __len__(self) -> int:
        return len(self.replicas)

    @classmethod
    def emulated(cls, slowdowns: Iterable[float]) -> "Platform":
        """CPU replicas of one thread each; ``[1, 1, 4]`` is two at full speed and one four times slower."""
        return cls(tuple(Replica(slowdown=slowdown) for slowdown in slowdowns))

    @classmethod
    def from_list(cls, replicas: Sequence[Mapping[str, Any]]) -> "Platform":
        """Build a platform from mappings with the fields of `Replica`; ``count`` repeats one."""
        known = [*(field.name for field in dataclasses.fields(Replica)), "count"]
        built: list[Replica] = []
        for rank, entry in enumerate(replicas):
            if not isinstance(entry, Mapping):
                raise ValueError(
                    f"replica {rank} is {entry!r}; write it as a mapping such as 'device: cpu'."
                )
            if unknown := sorted(set(entry) - set(known)):
                raise ValueError(
                    f"replica {rank} has unknown fields {unknown}; allowed are {known}."
                )
            fields = {"count": 1, **entry}
            if not _is_count(count := fields.pop("count")):
                raise ValueError(
                    f"replica {rank} has `count` {count!r}; it must be a whole number >= 1."
                )
            built += [Replica(**fields)] * count
        return cls(tuple(built))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Platform":
        """Read a file such as ``replicas: [{device: cuda:0}, {device: cpu, threads: 8, count: 2}]``."""
        try:
            content = yaml.safe_load(Path(path).read_text())
        except (OSError, yaml.YAMLError) as error:
            raise ValueError(
                f"platform file {str(path)!r} is no file of valid YAML ({error}); mend it."
            ) from None
        if (
            not isinstance(content, Mapping)
            or set(content) != {"replicas"}
            or not content["replicas"]
        ):
            raise ValueError(
                f"platform file {str(path)!r} needs the one key `replicas` with a list under it."
            )
        return cls.from_list(content["replicas"])

    @property
    def nominal_speeds(self) -> tuple[float, ...]:
        """Speeds relative to an unslowed replica, ``1 / slowdown``; measured ones come from `measure`."""
        return tuple(1 / replica.slowdown for replica in self.replicas)

    @property
    def contended(self) -> bool:
        """Whether the CPU replicas want more threads than this machine has cores: times then include waiting."""
        return sum(r.threads for r in self.replicas if r.device == "cpu") > len(
            os.sched_getaffinity(0)
        )

    def to_list(self) -> list[dict[str, Any]]:
        """Return plain mappings that `from_list` reads back."""
        return [dataclasses.asdict(replica) for replica in self.replicas]
