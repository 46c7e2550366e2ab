"""What the tests of training run in replicas; a new process has to be able to import it."""

from typing import Any
from unittest import mock

from hetlib.datasets.images import ImageDataset
from hetlib.replicas.emulation import SlowDown
from hetlib.training.loop import train_replica
from hetlib.training.setup import Job


def pass_sizes(rank: int, job: Job) -> list[int]:
    """Train, and return how many samples went through this replica at a time."""
    gather = ImageDataset.gather
    with mock.patch.object(ImageDataset, "gather", autospec=True, side_effect=gather) as gathered:
        train_replica(rank, job)
    sizes = []
    for call in gathered.call_args_list:
        data, indices = call.args[:2]
        if data.split == "train":
            sizes.append(len(indices))
    return sizes


class Noted(SlowDown):
    """An emulation that notes which stretch of computing it begins and ends."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.notes: list[str] = []

    def start(self, stretch: str, samples: int) -> None:
        self.notes.append(f"{stretch} begins")
        super().start(stretch, samples)

    def settle(self) -> None:
        if self._active:
            self.notes.append(f"{self._key.name} ends")
        super().settle()


def stretches(rank: int, job: Job) -> list[str]:
    """Train, and return what the emulation of a slow replica was told, in order."""
    made: list[Noted] = []

    def noted(*arguments: Any) -> Noted:
        made.append(Noted(*arguments))
        return made[-1]

    with mock.patch("hetlib.training.trainee.SlowDown", noted):
        train_replica(rank, job)
    return made[0].notes
