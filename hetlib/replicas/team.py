"""What replicas have in common, be they processes here, of a job, or virtual."""

from collections.abc import Callable
from typing import Any, Protocol

from hetlib.replicas.platform import Platform


class Team(Protocol):
    """Replicas that do one job after another."""

    @property
    def platform(self) -> Platform:
        """The replicas, in the order of their ranks."""

    @property
    def rank(self) -> int | None:
        """Number of this process where each replica calls the same methods; None: one leads."""

    @property
    def timed(self) -> bool:
        """Whether a clock sees the replicas' own steps."""

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(rank, *arguments)`` on every replica.

        Args:
            function: What each does.
            arguments: The same for all.

        Returns:
            The results by rank.
        """

    def about(self) -> dict[str, Any]:
        """Return what a record tells of the machines beside `hetlib.environment.environment`."""
