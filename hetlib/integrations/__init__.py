"""Where a training framework owns the loop: what it needs to balance there, one file a framework.

Each file needs the framework of its name and is imported by name alone, such as
``from hetlib.integrations.lightning import Balanced``. Frameworks whose loop is the user's own
(Fabric, Accelerate, FSDP2) need none: ``hetlib.balance(loss, loader)`` stands in the loop.
"""
