"""Two replicas of one core each behind nginx, as deploy/nginx sets it up, beside one such replica alone, in turns.

Whoever sends the photos takes time of a core too: in one replica's turn he is on that replica's core, in the turn of
two he and nginx are on either's. So a machine of two cores is held against twice a machine of one.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks.load import Measured, photo
from benchmarks.results import save
from benchmarks.server import free_port, pinned, running_server

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "nginx" / "impasto.conf"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CLIENTS = 4  # a replica
LEAD_SECONDS = 5.0
MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
}}
"""


@contextmanager
def replica(core: int) -> Iterator[str]:
    """A service that has one core; gives its base URL."""
    with pinned({core}):
        server = running_server("--threads", "1", "--data-dir", "/proc/none")
        url = server.__enter__()
    try:
        yield url
    finally:
        server.__exit__(None, None, None)


@contextmanager
def nginx(urls: list[str]) -> Iterator[str]:
    """nginx before these; gives its base URL."""
    if NGINX is None:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        text = CONFIGURATION.read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
        servers = "".join(f"server {url.removeprefix('http://')} max_fails=0;\n" for url in urls)
        for file in ("replicas.conf", "jobs.conf"):
            (folder / file).write_text(servers)
            text = text.replace(f"/etc/nginx/{file}", str(folder / file))
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, http=text))
        process = subprocess.Popen((NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)))
        try:
            while process.poll() is None:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=60)


async def load(url: str, size: int, clients: int, seconds: float) -> Measured:
    """Clients who each send their next photo when they have their last, in a style that every replica knows.

    What is measured lies between two answers, with everybody at work before and after.
    """
    answers: list[tuple[float, float]] = []
    numbers, content = itertools.count(), photo(size)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=None)) as http:
        style = (await http.get("/styles")).json()["styles"][0]["id"]
        first = time.perf_counter() + LEAD_SECONDS
        last = first + seconds

        async def one() -> None:
            while (begun := time.perf_counter()) < last:
                fields = {"style_id": style, "strength": str(1 - next(numbers) / 1e6)}
                answer = await http.post("/stylize", files={"content": content}, data=fields)
                answer.raise_for_status()
                answers.append((time.perf_counter(), time.perf_counter() - begun))

        await asyncio.gather(*(one() for _ in range(clients)))
    since, *counted = sorted(answer for answer in answers if first <= answer[0] <= last)
    return Measured(counted[-1][0] - since[0], [duration for _, duration in counted])


def run(url: str, size: int, clients: int, seconds: float, cores: set[int]) -> Measured:
    """`load` from these cores."""
    with pinned(cores):
        return asyncio.run(load(url, size, clients, seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="side of the photos (default: 512)")
    parser.add_argument("--seconds", type=float, default=40.0, help="time for each turn (default: 40)")
    parser.add_argument("--rounds", type=int, default=2, help="turns of one and two (default: 2)")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    one, two = Measured(), Measured()
    with ExitStack() as stack:
        urls = [stack.enter_context(replica(core)) for core in cores]
        with pinned(set(cores)):
            front = stack.enter_context(nginx(urls))
        for _ in range(asked.rounds):
            for core, url in zip(cores, urls, strict=True):
                one.add(run(url, asked.size, CLIENTS, asked.seconds / 2, {core}))
                two.add(run(front, asked.size, 2 * CLIENTS, asked.seconds / 2, set(cores)))
    print(f"Photos of {asked.size} pixels; {len(one.times)} and {len(two.times)} of them")
    print("                      pictures/s  p50, ms  p95, ms")
    for name, measured in (("one replica", one), ("two behind nginx", two)):
        p50, p95 = (1000 * measured.percentile(percent) for percent in (50, 95))
        print(f"{name:20}  {measured.rate:10.2f}  {p50:7.0f}  {p95:7.0f}")
    print(f"two / (2 x one): {two.rate / (2 * one.rate):.3f}")
    save("replicas", {"one": one.rate, "two": two.rate})


if __name__ == "__main__":
    main()
