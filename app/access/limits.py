"""How much a client may ask for: requests and megapixels a minute, counted by the `limits` library.

A client's minute begins with what it asks for first, and a picture larger than a whole minute's megapixels takes all
of one.
"""

import math
import time
from dataclasses import dataclass
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from app.access.clients import Client

SECONDS: Final = 60
MEGAPIXEL: Final = 1_000_000


@dataclass(frozen=True)
class State:
    """What is left of a limit: `kind` is requests or megapixels, `left` as many whole ones for `seconds` more."""

    kind: str
    limit: float
    left: int
    seconds: int


class LimitReached(Exception):
    """The client has had what it may have in a minute; its next begins in `retry_after` seconds."""

    def __init__(self, kind: str, limit: float, retry_after: float) -> None:
        super().__init__(f"{limit:g} {kind} a minute are this client's limit")
        self.limit = limit
        self.retry_after = retry_after


class Limits:
    """Counts in the memory of this process."""

    def __init__(self) -> None:
        self._counter = FixedWindowRateLimiter(MemoryStorage())

    async def take_request(self, client: Client) -> None:
        """Count a request. Raises LimitReached."""
        await self._take(client, "requests", 1)

    async def take_pixels(self, client: Client, pixels: int) -> None:
        """Count the pixels of a result. Raises LimitReached."""
        await self._take(client, "megapixels", pixels)

    async def states(self, client: Client) -> list[State]:
        """What is left of each limit that the client has."""
        states = []
        for kind, (limit, item, unit) in _items(client).items():
            reset, left = await self._counter.get_window_stats(item, client.name)
            states.append(State(kind, limit, max(0, left) // unit, _seconds_until(reset)))
        return states

    async def _take(self, client: Client, kind: str, cost: int) -> None:
        if kind not in (items := _items(client)):
            return
        limit, item, _ = items[kind]
        cost = min(cost, item.amount)
        # Tested before it is counted: what is refused takes nothing from what is left.
        if not await self._counter.test(item, client.name, cost=cost) or not await self._counter.hit(
            item, client.name, cost=cost
        ):
            reset, _ = await self._counter.get_window_stats(item, client.name)
            raise LimitReached(kind, limit, _seconds_until(reset))


def _items(client: Client) -> dict[str, tuple[float, RateLimitItem, int]]:
    """The client's limits, as the library takes them, and how many of its units are one of ours."""
    items: dict[str, tuple[float, RateLimitItem, int]] = {}
    # The name of a key can't be that of an address.
    scope = "key" if client.has_key else "address"
    if client.requests:
        item = RateLimitItemPerMinute(client.requests, namespace=f"requests-{scope}")
        items["requests"] = client.requests, item, 1
    if client.megapixels:
        item = RateLimitItemPerMinute(math.ceil(client.megapixels * MEGAPIXEL), namespace=f"pixels-{scope}")
        items["megapixels"] = client.megapixels, item, MEGAPIXEL
    return items


def _seconds_until(reset: float) -> int:
    return min(SECONDS, max(1, math.ceil(reset - time.time())))
