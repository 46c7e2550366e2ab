"""What the tests of training run in replicas; a new process has to be able to import it."""

from unittest import mock

from hetlib.datasets.images import ImageDataset
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
