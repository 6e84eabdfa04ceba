"""Connections to Postgres that notice when nobody answers any longer."""

import logging
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, ConnectionPool

CONNECT_SECONDS: Final = 2.0  # for a connection, a new one or one of the pool's
ANSWER_SECONDS: Final = 5.0
CONNECTIONS: Final = 8
WORKER_CONNECTIONS: Final = 3  # and one that listens
# For libpq; what an operator's address says goes before. A host that went without a word is noticed in some 10 s.
OPTIONS: Final[dict[str, Any]] = {
    "application_name": "impasto",
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class BadAddress(ValueError):
    """No address of a Postgres; the message does not hold it, since it may hold a password."""


def conninfo(url: str) -> str:
    """An address as postgresql://USER:PASSWORD@HOST/DATABASE, with what libpq is to do where nobody answers.

    Raises BadAddress.
    """
    try:
        return make_conninfo(**{**OPTIONS, **conninfo_to_dict(url)})
    except psycopg.Error:
        raise BadAddress("expected an address as postgresql://USER:PASSWORD@HOST:5432/DATABASE") from None


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """psycopg's, which is closed where an answer takes too long: raises OperationalError."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, ANSWER_SECONDS if timeout is None else timeout)
        except errors._WaitTimeout:
            if timeout is None:
                self.close()
                raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g} seconds") from None
            raise


def pool(info: str) -> ConnectionPool[Connection]:
    """Connections for threads, opened when they are needed."""
    # That the server is away is told once, by others; and procrastinate tells of each job's beginning and end.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    return ConnectionPool(
        info,
        connection_class=Connection,
        min_size=1,
        max_size=CONNECTIONS,
        timeout=CONNECT_SECONDS,
        reconnect_timeout=CONNECT_SECONDS,  # the pause between tries would grow to minutes
        check=ConnectionPool.check_connection,
        open=True,
    )


def worker_pool(info: str) -> AsyncConnectionPool[Any]:
    """Connections for the event loop, to be opened there."""
    return AsyncConnectionPool(
        info,
        min_size=1,
        max_size=WORKER_CONNECTIONS,
        timeout=CONNECT_SECONDS,
        reconnect_timeout=CONNECT_SECONDS,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


def passing(error: BaseException | None) -> bool:
    """Whether an error says that the server is away, or can't write for now, rather than that we are wrong."""
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction)
