"""Who asks: the holder of a key, or where there are no keys, an address."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Client:
    """`name` is a key's or an address; `has_key` tells which.

    At most `requests` and `megapixels` a minute, without such a limit where None.
    """

    name: str
    has_key: bool = False
    requests: int | None = None
    megapixels: float | None = None
