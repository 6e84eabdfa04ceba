"""A hundred stops under load, each by a signal to the server's whole process group, as terminals and supervisors do.

The server is started by itself and by `make serve` in turns, and told to stop by SIGTERM, by SIGTERM twice within
milliseconds, and by SIGINT. A request is owed an answer if it was sent whole, over a connection that had an answer
before, when the signal was sent: a picture, or problem+json with 503.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx
from PIL import Image
from tqdm import tqdm

from benchmarks.load import photo, style
from benchmarks.results import save
from benchmarks.server import free_port

ROOT = Path(__file__).parents[1]
STARTS: dict[str, Callable[[int], list[str]]] = {
    "serve": lambda port: [sys.executable, "-m", "app", "serve", "--port", str(port)],
    # What is installed stays as it is; who runs this has it.
    "make serve": lambda port: ["make", "--old-file", ".venv/.serve", "serve", f"PORT={port}"],
}
SIGNALS = {"TERM": [signal.SIGTERM], "TERM twice": [signal.SIGTERM] * 2, "INT": [signal.SIGINT]}
MOMENT = 0.003
SIDES = (256, 256, 384)
LARGE, LARGE_EVERY = 1024, 10
STREAMS, STREAM_SIDE = 2, 128  # clients who send the next when they have the last, up to the end
LONGEST = 120.0
START_SECONDS = 120.0


@dataclass
class Stop:
    """What came of one: of the requests owed an answer, the others, and the server."""

    answers: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Sender:
    """Requests on one connection; each says whether it was owed its answer."""

    def __init__(self, url: str, found: Stop) -> None:
        self._address = urlsplit(url)
        self._found = found
        self.signalled = asyncio.Event()

    async def send(self, requests: "itertools.count[int] | range", side: int) -> None:
        """One after the other, for as long as they are answered."""
        content, paint = photo(side), style()
        try:
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
            writer.transport.set_write_buffer_limits(0)  # so that drain returns when all is with the kernel
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            await answer(reader)
        except (OSError, EOFError):
            return  # it has stopped before this was accepted
        for number in requests:
            fields = {"strength": str(1 - (side + number) / 1e6)}
            request = httpx.Request("POST", "http://a/stylize", files={"content": content, "style": paint}, data=fields)
            body = request.read()
            head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
            owed = False
            try:
                writer.write(f"POST /stylize HTTP/1.1\r\n{head}\r\n".encode() + body)
                await writer.drain()
                owed = not self.signalled.is_set()
                async with asyncio.timeout(LONGEST):
                    status, kind, told = await answer(reader)
            except (OSError, EOFError, TimeoutError) as error:
                self._note(owed, "none", f"{side} pixels: no answer ({error!r})")
                break
            self._note(owed, str(status), fault(status, kind, told, side))
            if status != httpx.codes.OK:
                break
        writer.close()

    def _note(self, owed: bool, outcome: str, wrong: str) -> None:
        (self._found.answers if owed else self._found.others)[outcome] += 1
        if wrong and (owed or outcome != "none"):
            self._found.faults.append(wrong)


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Status, media type and body; EOFError where it is not whole."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    status = int(lines[0].split()[1])
    if status == httpx.codes.CONTINUE:
        return await answer(reader)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return status, headers.get("content-type", ""), await reader.readexactly(int(headers["content-length"]))


def fault(status: int, kind: str, body: bytes, side: int) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if status == httpx.codes.OK:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            return "" if image.size == (side, side) else f"{side} pixels: a picture of {image.size}"
    if status == httpx.codes.SERVICE_UNAVAILABLE and kind == "application/problem+json":
        return "" if json.loads(body)["status"] == status else f"{side} pixels: {body!r}"
    return f"{side} pixels: {status} {kind} {body[:200]!r}"


async def load_and_stop(
    url: str, group: int, signals: list[signal.Signals], large: bool, chance: random.Random
) -> Stop:
    """Send, signal amid it, and see what is answered."""
    found = Stop()
    sides = (*SIDES, LARGE) if large else SIDES
    senders = [Sender(url, found) for _ in range(len(sides) + STREAMS)]
    async with asyncio.TaskGroup() as running:
        for sender, side in zip(senders, sides, strict=False):
            running.create_task(sender.send(range(1), side))
        for number, sender in enumerate(senders[len(sides) :]):
            running.create_task(sender.send(itertools.count(1000 * number + 1), STREAM_SIDE))
        await asyncio.sleep(chance.uniform(0.2, 2.0))
        for sender in senders:
            sender.signalled.set()
        for number, one in enumerate(signals):
            await asyncio.sleep(MOMENT if number else 0)
            os.killpg(group, one)
    return found


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit(f"the server is not ready: status {process.poll()}")


def is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stop_once(start: str, signals: list[signal.Signals], large: bool, chance: random.Random) -> Stop:
    """Start a server, put it under load, stop it, and look at what is left."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = {**os.environ, "IMPASTO_DATA_DIR": folder}
        process = subprocess.Popen(
            STARTS[start](port), env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until_ready(process, f"http://127.0.0.1:{port}")
            found = asyncio.run(load_and_stop(f"http://127.0.0.1:{port}", process.pid, signals, large, chance))
            since = time.monotonic()
            status = process.wait(timeout=LONGEST)
            found.seconds = time.monotonic() - since
            found.faults += left(start, status, signals[0], process.pid, port, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return found


def left(start: str, status: int, sent: signal.Signals, group: int, port: int, log: IO[bytes]) -> list[str]:
    """What should not be after a stop."""
    log.seek(0)
    text = log.read().decode(errors="replace")
    faults = []
    # make ends by the signal it got itself, once its child has ended; of a child's failure it says "Error".
    if status not in ((0,) if start == "serve" else (0, -sent, 2)) or "] Error " in text:
        faults.append(f"status {status}: {text[-500:]}")
    if "Traceback" in text:
        faults.append(text[text.index("Traceback") :][:2000])
    until = time.monotonic() + 10
    while alive(group) and time.monotonic() < until:  # make does not wait for its child in every case
        time.sleep(0.05)
    if alive(group):
        faults.append("a process of the group is left")
        os.killpg(group, signal.SIGKILL)
    if not is_free(port):
        faults.append(f"port {port} is not free")
    return faults


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="stops (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which they come (default: 1)")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)  # noqa: S311
    kinds = itertools.cycle(itertools.product(STARTS, SIGNALS))
    stops: dict[tuple[str, str], list[Stop]] = {}
    with suppress(KeyboardInterrupt):  # what was found until then
        for number in tqdm(range(asked.times), unit="stop"):
            start, name = next(kinds)
            found = stop_once(start, SIGNALS[name], number % LARGE_EVERY == 0, chance)
            stops.setdefault((start, name), []).append(found)
            for words in found.faults:
                tqdm.write(f"{start}, {name}: {words}")
    print("started by  signal      stops  owed   200   503  other  none  faults  longest stop, s")
    rows = []
    for (start, name), ones in stops.items():
        owed = sum((one.answers for one in ones), Counter[str]())
        row = {
            "start": start,
            "signal": name,
            "stops": len(ones),
            "owed": owed.total(),
            "pictures": owed["200"],
            "refused": owed["503"],
            "none": owed["none"],
            "other": owed.total() - owed["200"] - owed["503"] - owed["none"],
            "faults": sum(len(one.faults) for one in ones),
            "seconds": max(one.seconds for one in ones),
        }
        rows.append(row)
        print(
            "{start:10}  {signal:10}  {stops:5}  {owed:4}  {pictures:4}  {refused:4}  {other:5}  {none:4}  {faults:6}  "
            "{seconds:16.1f}".format(**row)
        )
    save("stops", {"rows": rows})


if __name__ == "__main__":
    main()
