"""The errors that a caller may want to catch."""


class ReplicaError(RuntimeError):
    """A replica failed or died; the message names it and says how."""
