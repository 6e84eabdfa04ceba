"""What a good client feels of a thousand who send slowly: its p95 beside them, and alone, in turns.

Each slow client sends the head of a POST and then a byte a second, and comes again when it is sent away.
"""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Process
from urllib.parse import urlsplit

from benchmarks.load import Measured, closed_loop
from benchmarks.results import save
from benchmarks.server import running_server

ADDRESSES = 5  # of one machine, the service takes but a share
HEAD = (
    b"POST /stylize HTTP/1.1\r\nHost: a\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
)


async def crawl(host: str, port: int, number: int) -> None:
    """One slow client, for ever."""
    while True:
        source = f"127.0.0.{2 + number % ADDRESSES}"
        reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
        try:
            writer.write(HEAD)
            answer = asyncio.create_task(reader.read())
            while not answer.done():
                await asyncio.sleep(1)
                writer.write(b"x")
        except OSError:
            pass
        finally:
            writer.close()


async def crowd(url: str, count: int) -> None:
    address = urlsplit(url)
    await asyncio.gather(*(crawl(str(address.hostname), address.port or 80, number) for number in range(count)))


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[None]:
    """So many, in a process of their own."""
    process = Process(target=lambda: asyncio.run(crowd(url, count)), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slow", type=int, default=1000, help="slow clients (default: 1000)")
    parser.add_argument("--size", type=int, default=256, help="side of the good one's photos (default: 256)")
    parser.add_argument("--seconds", type=float, default=20.0, help="time for each turn (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of alone and beside (default: 3)")
    asked = parser.parse_args()
    alone, beside = Measured(), Measured()
    with running_server() as url:
        for _ in range(asked.rounds):
            alone.add(asyncio.run(closed_loop(url, asked.size, 1, asked.seconds)))
            with slow_clients(url, asked.slow):
                beside.add(asyncio.run(closed_loop(url, asked.size, 1, asked.seconds)))
    print(f"One client at {asked.size} pixels, alone and beside {asked.slow} that send a byte a second")
    print("        pictures  refused  p50, ms  p95, ms")
    for name, run in (("alone", alone), ("beside", beside)):
        p50, p95 = (1000 * run.percentile(percent) for percent in (50, 95))
        print(f"{name:6}  {len(run.times):8}  {run.refused:7}  {p50:7.0f}  {p95:7.0f}")
    ratio = beside.percentile(95) / alone.percentile(95)
    print(f"p95 beside / alone: {ratio:.2f}")
    save("slow_clients", {"alone": alone.percentile(95), "beside": beside.percentile(95), "slow": asked.slow})


if __name__ == "__main__":
    main()
