"""The real server as a subprocess, as an operator would start it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

START_SECONDS = 120
SERVE = (sys.executable, "-m", "app", "serve")
# An engine that fails on some widths, with the protocol that `impasto serve` speaks.
OPTIONS = ("--http", "app.http.protocol:ProblemProtocol", "--no-access-log")
FAULTY = (sys.executable, "-m", "uvicorn", "tests.e2e.faulty:app", *OPTIONS)
EAGER = (sys.executable, "-m", "uvicorn", "tests.e2e.eager:app", *OPTIONS)


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Server:
    """Starts in `with`, waits until it is ready, ends with it. `settings` are IMPASTO_* without the prefix."""

    def __init__(
        self,
        settings: Mapping[str, object] | None = None,
        command: Sequence[str] = SERVE,
        port: int | None = None,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory()
        settings = {"data_dir": self._folder.name, **(settings or {})}
        environment = {f"IMPASTO_{name.upper()}": str(value) for name, value in settings.items()}
        ports = {"IMPASTO_PORT": str(self.port), "UVICORN_PORT": str(self.port)}
        self.environment = {**os.environ, **ports, **environment}
        self._command = command
        self._start_seconds = start_seconds
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self._command, env=self.environment, stdout=self._log, stderr=self._log)
        self.client = httpx.Client(base_url=self.url, timeout=120)
        until = time.monotonic() + self._start_seconds
        while time.monotonic() < until:
            assert self.process.poll() is None, f"stopped with {self.process.returncode}:\n{self.log()}"
            try:
                if self.client.get("/readyz").is_success:
                    return self
            except httpx.TransportError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError(f"not ready after {self._start_seconds} s:\n{self.log()}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.terminate()
        self._log.close()
        self._folder.cleanup()

    def terminate(self) -> int:
        """SIGTERM, and the status it exits with."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """As the kernel does where memory is short: the process learns nothing of it."""
        self.process.kill()
        self.process.wait(timeout=60)

    def log(self) -> str:
        """What it has written so far."""
        # Not seek and read: the server writes where this file stands.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode()

    def resident_bytes(self) -> int:
        """Physical memory the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def metric(self, name: str) -> float:
        """The value of one sample of /metrics, its labels included in `name`; 0 where it is not there yet."""
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        return 0.0
