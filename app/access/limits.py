"""How much a client may ask for: requests and megapixels a minute, counted by the `limits` library; for replicas
together in Redis, or in the memory of this process, which takes over while Redis does not answer.

A client's minute begins with what it asks for first, and a picture larger than a whole minute's megapixels takes all
of one.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from app.access.clients import Client
from app.circuit import Circuit

logger = logging.getLogger("impasto.access")

SECONDS: Final = 60
MEGAPIXEL: Final = 1_000_000
REDIS_SECONDS: Final = 0.25
KEYS: Final = "impasto:1:limits"

T = TypeVar("T")


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
    """Counts in the Redis at `url`, in memory where there is none."""

    def __init__(self, url: str = "") -> None:
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._together = FixedWindowRateLimiter(_redis(url)) if url else None
        self._circuit = Circuit(self._tell)

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
            reset, left = await self._ask(partial(_stats, item=item, name=client.name))
            states.append(State(kind, limit, max(0, left) // unit, _seconds_until(reset)))
        return states

    async def _take(self, client: Client, kind: str, cost: int) -> None:
        if kind not in (items := _items(client)):
            return
        limit, item, _ = items[kind]
        cost = min(cost, item.amount)
        if not await self._ask(partial(_hit, item=item, name=client.name, cost=cost)):
            reset, _ = await self._ask(partial(_stats, item=item, name=client.name))
            raise LimitReached(kind, limit, _seconds_until(reset))

    async def _ask(self, question: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        """Of all replicas' counts, else of our own."""
        if self._together and self._circuit.may_try():
            try:
                async with asyncio.timeout(REDIS_SECONDS):
                    answer = await question(self._together)
            except (StorageError, OSError) as error:  # a TimeoutError is an OSError
                self._circuit.failed(error)
            else:
                self._circuit.succeeded()
                return answer
        return await question(self._here)

    @staticmethod
    def _tell(error: Exception | None) -> None:
        if error is None:
            logger.info("limits are counted for all replicas together again")
        else:
            logger.warning("Redis does not answer (%s): each replica counts limits alone", type(error).__name__)


def _redis(url: str) -> RedisStorage:
    """The library's own connection."""
    import redis.asyncio  # noqa: F401  an extra, which the library itself misses in many words

    scheme, _, rest = url.partition("://")
    scheme = "redis+unix" if scheme == "unix" else scheme.replace("valkey", "redis")
    return RedisStorage(
        f"async+{scheme}://{rest}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=KEYS,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
    )


async def _hit(counter: FixedWindowRateLimiter, item: RateLimitItem, name: str, cost: int) -> bool:
    """Tested before it is counted: what is refused takes nothing from what is left."""
    return await counter.test(item, name, cost=cost) and await counter.hit(item, name, cost=cost)


async def _stats(counter: FixedWindowRateLimiter, item: RateLimitItem, name: str) -> WindowStats:
    return await counter.get_window_stats(item, name)


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
