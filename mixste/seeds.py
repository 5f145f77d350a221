"""Seeds that are functions of what they are for."""

import hashlib


def mixed(*parts: object) -> int:
    """A seed from numbers and names, the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=7).digest(), "big")
