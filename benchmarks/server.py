"""Servers as subprocesses on free ports, for benchmarks."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO

import httpx


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def running_server(*options: str) -> AbstractContextManager[str]:
    """`impasto serve`, ready; gives its base URL."""
    return running("app", "/readyz", "serve", "--log-level", "warning", *options, "--port")


@contextmanager
def running(module: str, ready_path: str, *arguments: str) -> Iterator[str]:
    """Run a module with a free port as its last argument, until `ready_path` answers; give its base URL."""
    process, url = started(module, ready_path, *arguments)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that outlive their server


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes that are started meanwhile have these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def started(
    module: str, ready_path: str, *arguments: str, log: IO[bytes] | None = None
) -> "tuple[subprocess.Popen[bytes], str]":
    """The same, for whoever ends it: the process, ready, and its base URL. Its standard error may go to a `log`."""
    port = free_port()
    command = [sys.executable, "-m", module, *arguments, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"{module} stopped with status {process.returncode} before it was ready")
        try:
            if httpx.get(url + ready_path).is_success:
                return process, url
        except httpx.TransportError:
            time.sleep(0.05)
