"""What would be read is compared with the memory that there is, before it is read."""

from hetlib.memory import available_memory

GIB = 1 << 30


def check_memory(what: str, needed: int, remedy: str) -> None:
    """Refuse what does not fit into memory, before any of it is read.

    Args:
        what: What would be read, with its size as the file has it.
        needed: Bytes that it would take.
        remedy: What to do instead.

    Raises:
        ValueError: Less than ``needed`` is available.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise ValueError(
            f"{what} needs {needed / GIB:.1f} GiB of memory, {there / GIB:.1f} GiB are "
            f"available; {remedy}."
        )
