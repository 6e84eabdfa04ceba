"""Random numbers that are a function of what they are for."""

import hashlib

from torch import Generator


def seed_of(*parts: int | str) -> int:
    """One seed of 63 bits from several numbers, each combination with its own."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*parts: int | str) -> Generator:
    """On the CPU, of `seed_of` these."""
    return Generator().manual_seed(seed_of(*parts))
