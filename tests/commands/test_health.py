"""`impasto health` tells in a line whatever it meets; tests/deploy has it ask the service."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

HEALTH = (sys.executable, "-m", "app", "health")


def health(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **environment}
    return subprocess.run([*HEALTH, *options], env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff" * 8, b""])
def test_a_port_where_something_else_answers_is_not_healthy(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        run = health("--url", f"http://127.0.0.1:{other.getsockname()[1]}")
        thread.join(timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("http://127.0.0.1:")
    assert "Traceback" not in run.stderr


def test_a_written_address_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    written = tmp_path / "address"
    written.write_bytes(b"\xff\xfe")
    with socket.socket() as bound:  # bound but not listening: refuses
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
        run = health(IMPASTO_ADDRESS_FILE=str(written), IMPASTO_PORT=port)
    assert run.returncode == 1
    assert run.stderr.startswith(f"http://127.0.0.1:{port}: ")
