"""A real Postgres, from Debian's package."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from tests.e2e.server import free_port


def _binaries() -> Path | None:
    """Debian keeps them out of the path, each version in its own folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    named = shutil.which("initdb")
    if named and shutil.which("postgres"):
        return Path(named).parent
    return found[-1].parent if found else None


BINARIES = _binaries()
needs_postgres = pytest.mark.skipif(BINARIES is None, reason="postgres is not installed: apt-get install postgresql")
USER = "impasto"
PASSWORD = "not-to-be-told"  # noqa: S105
# Root may not run it: then who owns nothing else does.
ANOTHER_USER = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}


class PostgresServer:
    """Runs in `with`, in a folder of its own; may be stopped and started in between, on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="impasto-postgres-")
        self._data = Path(self._folder.name) / "data"
        if ANOTHER_USER:
            os.chown(self._folder.name, 65534, 65534)
        password = Path(self._folder.name) / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._run(
            "initdb", "--pgdata", self._data, "--username", USER, "--auth", "scram-sha-256", "--pwfile", password,
            "--encoding", "UTF8", "--locale", "C", "--no-sync",
        )  # fmt: skip

    def url(self, database: str = "postgres", user: str = USER) -> str:
        return f"postgresql://{user}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Returns when it answers."""
        assert BINARIES is not None
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = subprocess.Popen(
            (BINARIES / "postgres", "-D", self._data, *settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **ANOTHER_USER,
        )
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("postgres did not start")

    def stop(self) -> None:
        """End it at once: no connection is waited for."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)

    def hang(self) -> None:
        """Let it accept connections, and answer nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def database(self) -> str:
        """The address of a database nobody has seen."""
        name = f"jobs_{time.monotonic_ns()}"
        self.ask("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def ask(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """What a query gives, of a database by its name or its address."""
        url = database if "://" in database else self.url(database)
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def _signal(self, sent: signal.Signals) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for process in (self.process.pid, *map(int, children)):
            os.kill(process, sent)

    def _run(self, program: str, *arguments: object) -> None:
        assert BINARIES is not None
        done = subprocess.run(
            (BINARIES / program, *map(str, arguments)), capture_output=True, text=True, cwd="/", **ANOTHER_USER
        )
        assert done.returncode == 0, done.stderr
