"""Styles in Redis or Valkey: a hash a style, its parts the fields; and a stream of those that were forgotten."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.circuit import Circuit
from app.styles.store import StoreDown

logger = logging.getLogger("impasto.styles")

SECONDS: Final = 0.5  # for an answer; a picture thread waits for it
CONNECTIONS: Final = 64
KEYS: Final = "impasto:1"
FORGOTTEN: Final = f"{KEYS}:forgotten"
REMEMBERED_FORGOTTEN: Final = 10_000
FOLLOW_SECONDS: Final = 2.0

T = TypeVar("T")


class RedisStore:
    """A style nobody has used for `seconds` goes; how much there may be in all is the server's `maxmemory`.

    `on_forgotten` hears, in a thread of its own, the name of each style that any replica was told to forget.
    """

    def __init__(self, url: str, seconds: int, on_forgotten: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._redis = self._connected(url, SECONDS)
        self._follower = self._connected(url, FOLLOW_SECONDS + SECONDS)
        self._on_forgotten = on_forgotten
        self._circuit = Circuit(self._tell)
        self._stopping = threading.Event()
        self._last: bytes | None = None
        self._generation = 0

    @staticmethod
    def _connected(url: str, seconds: float) -> "redis.Redis":
        return redis.Redis.from_url(
            url.replace("valkey", "redis", 1),
            socket_timeout=seconds,
            socket_connect_timeout=SECONDS,
            retry=Retry(NoBackoff(), 1),  # a connection that was idle for long may be closed
            max_connections=CONNECTIONS,
        )

    @property
    def up(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._circuit.closed

    @property
    def generation(self) -> int:
        """See Store."""
        return self._generation

    def start(self) -> None:
        """Begin to hear of styles forgotten elsewhere."""
        threading.Thread(target=self._follow, name="impasto-forgotten", daemon=True).start()

    def stop(self) -> None:
        """Let go of the server."""
        self._stopping.set()
        self._redis.close()
        self._follower.close()

    def get(self, name: str, part: str) -> bytes | None:
        """See StyleStore."""
        value: bytes | None = self._call(lambda: self._redis.hget(_key(name), part))
        return value

    def parts(self, name: str) -> list[str]:
        """See StyleStore."""
        fields: list[bytes] = self._call(lambda: self._redis.hkeys(_key(name)))
        return [field.decode("ascii", "replace") for field in fields]

    def put(self, name: str, part: str, value: bytes) -> None:
        """See StyleStore."""

        def both() -> None:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.hset(_key(name), part, value)
                pipeline.expire(_key(name), self._seconds)
                pipeline.execute()

        self._call(both)

    def drop(self, name: str, part: str) -> None:
        """See StyleStore."""
        self._call(lambda: self._redis.hdel(_key(name), part))

    def forget(self, name: str) -> None:
        """See StyleStore."""

        def both() -> None:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(_key(name))
                pipeline.xadd(FORGOTTEN, {"name": name}, maxlen=REMEMBERED_FORGOTTEN, approximate=True)
                pipeline.execute()

        self._call(both)

    def _call(self, function: Callable[[], Any]) -> Any:
        if not self._circuit.may_try():
            raise StoreDown("the style store is left alone for a while: it did not answer")
        try:
            result = function()
        except redis.RedisError as error:
            self._circuit.failed(error)
            raise StoreDown(f"the style store does not answer ({type(error).__name__})") from None
        self._circuit.succeeded()
        return result

    def _tell(self, error: Exception | None) -> None:
        if error is None:
            self._generation += 1  # it may have come back empty
            logger.info("the style store answers again")
        else:
            # The error's kind alone: its text may hold the address, and with it a password.
            logger.warning("the style store does not answer (%s): styles are kept in memory only", type(error).__name__)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hear()
            except (redis.RedisError, OSError, ValueError):
                self._stopping.wait(1.0)

    def _hear(self) -> None:
        """Wait for the next of those forgotten, after the last that was heard of; at first, after the last there is."""
        if self._last is None:
            newest: Any = self._follower.xrevrange(FORGOTTEN, count=1)
            self._last = newest[0][0] if newest else b"0-0"
        heard: Any = self._follower.xread({FORGOTTEN: self._last}, block=int(1000 * FOLLOW_SECONDS))
        entries = heard.items() if isinstance(heard, dict) else heard or ()
        for _, told in entries:
            for number, fields in told:
                self._last = number
                self._on_forgotten(fields.get(b"name", b"").decode("ascii", "replace"))


def _key(name: str) -> str:
    return f"{KEYS}:style:{name}"
