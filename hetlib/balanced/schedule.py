"""Which shares hold from which step on."""

from typing import TypeAlias

Shares: TypeAlias = tuple[int, ...]  # local batch of each replica


class Schedule:
    """The plans of a training, each with the step from which on it holds; all have one sum.

    Args:
        shares: Local batch of each replica at the first step.

    Attributes:
        first: The shares that it was made with.
        plans: The first step of each plan, counted over all epochs, and its shares, in order.
    """

    def __init__(self, shares: Shares) -> None:
        self.first = shares
        self.plans: list[tuple[int, Shares]] = [(0, shares)]

    def at(self, number: int) -> Shares:
        """Return the shares of a step.

        Args:
            number: Of the step, counted over all epochs.
        """
        return next(shares for first, shares in reversed(self.plans) if first <= number)

    def change(self, shares: Shares, step: int | None, present: int) -> None:
        """Let other shares hold from a step on, in place of those that begin at the same step.

        Args:
            shares: Local batch of each replica.
            step: The first step that is dealt by them; ``None`` is the earliest one allowed.
            present: The step that comes next: no earlier one can change.

        Raises:
            ValueError: The shares have another number or sum, or the step lies before the present
                or before the first one of the last plan.
        """
        last_change = self.plans[-1][0]
        earliest = max(present, last_change)
        if step is None:
            step = earliest
        replicas = len(self.first)
        batch = sum(self.first)
        fits = len(shares) == replicas and sum(shares) == batch
        if not fits or step < earliest:
            allowed = f"{replicas} numbers >= 0, sum {batch}, step >= {earliest}"
            raise ValueError(f"`plan` is {shares} at step {step}; allowed: {allowed}.")
        kept = [(start, old) for start, old in self.plans if start < step]
        self.plans = [*kept, (step, shares)]
