"""A real nginx in front of servers, from Debian's package."""

import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from tests.e2e.server import free_port

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_max_body_size 100m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
}}
"""


class Nginx:
    """Runs in `with`; `locations`: what stands in its one server block; or `http`, all that stands around it, where
    `listen 8080` is the port.
    """

    def __init__(self, folder: Path, locations: str = "", http: str = "") -> None:
        self.port = free_port()
        http = http or f"server {{ listen 8080; {locations} }}"
        http = http.replace("listen 8080", f"listen 127.0.0.1:{self.port}")
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._file = folder / "nginx.conf"
        self._file.write_text(CONFIGURATION.format(folder=folder, http=http))

    def __enter__(self) -> Self:
        assert NGINX is not None
        self.process = subprocess.Popen(
            (NGINX, "-c", str(self._file), "-p", str(self._folder)), stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            assert self.process.poll() is None, (self._folder / "error.log").read_text()
            try:
                httpx.get(self.url)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("nginx did not start")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
