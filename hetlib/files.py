"""Names for what was computed from what."""

import hashlib
import json


def fingerprint(content: object) -> str:
    """Return the SHA-256 of ``content`` as JSON; numpy's numbers count as floats."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=float).encode()).hexdigest()
