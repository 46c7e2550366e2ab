"""What another loader reads by a loader's own sampler.

Accelerate's `skip_first_batches` makes such a loader. Which batch it handed out is not known here.
What is known: that losses were balanced by counts meanwhile, and whether it read the epoch to its
end. Then the position of the training lies behind that epoch.
"""

from hetlib.balanced.dealing import Deal, Position


class Elsewhere:
    """The pass of another loader since the latest own one began, if there is one."""

    def __init__(self) -> None:
        self._deal: Deal | None = None
        self._is_balanced = False

    @property
    def is_read(self) -> bool:
        """Whether there is such a pass."""
        return self._deal is not None

    def begin(self, deal: Deal) -> None:
        """Note that a pass of another loader begins.

        Args:
            deal: What it reads.
        """
        self._deal = deal

    def note_balanced(self) -> None:
        """Note that a loss of one of its batches was balanced."""
        self._is_balanced = True

    def forget(self) -> None:
        """Note that a pass of the own loader begins, or that the position was set."""
        self._deal = None
        self._is_balanced = False

    def trained(self) -> Position | None:
        """Return the position behind its epoch, if that was trained to its end."""
        if self._deal is None or not self._deal.is_over or not self._is_balanced:
            return None
        return Position(self._deal.position.epoch + 1, 0)

    def refuse(self) -> None:
        """Refuse to say the counts of a batch that it handed out.

        Raises:
            RuntimeError: There is such a pass.
        """
        if self._deal is None:
            return
        raise RuntimeError(
            "another loader reads the sampler of this one, as `skip_first_batches` of Accelerate "
            "makes one, and it is not known which batch that handed out. Count what the loss is "
            "the mean over: balance(loss, loader, count=len(targets)). Or go on by the loader's "
            "own state (`load_state_dict`), which needs no skipping."
        )
