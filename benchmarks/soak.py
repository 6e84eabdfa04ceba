"""An hour at twice the capacity: memory, descriptors, goodput, and whether anybody was lost or told a wrong thing.

The server has the first core to itself, whoever sends the others. The capacity is what eight clients get who each send
their next photo when they have their last, of the same mix. Then photos arrive at random, twice as many as that, with
bad files, clients that hang up and jobs beside them (benchmarks/mixed.py). The load comes in rounds, and the capacity
is measured before and after each, since what else runs on a machine changes within an hour.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import httpx
from tqdm import tqdm

from benchmarks.mixed import GOOD, MEAN_PIXELS, Crowd, Tally
from benchmarks.results import FOLDER
from benchmarks.server import pinned, started

OVER = 2.0
CLOSED_CLIENTS = 8
JOB_SECONDS = 60.0
SAMPLE_SECONDS = 5.0
ROUND_SECONDS = 600.0
# Styles that are uploaded fill what is kept of them within minutes: what grows after that is something else.
OPTIONS = ("--threads", "1", "--style-cache-bytes", "1000000")


def family(pid: int) -> list[int]:
    """The process and those it started, as far as they live."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def sample(pid: int) -> dict[str, float]:
    """Resident bytes, threads, descriptors and seconds of processor time of a server with its children."""
    told = {"rss": 0.0, "threads": 0.0, "descriptors": 0.0, "processor": 0.0}
    for one in family(pid):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
        told["rss"] += 1024 * int(status["VmRSS"].split()[0])
        told["threads"] += int(status["Threads"])
        told["descriptors"] += len(list(Path(f"/proc/{one}/fd").iterdir()))
        times = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15]  # with ended children's
        told["processor"] += sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return told


def connections(pid: int, url: str) -> int:
    """Those that the server holds: not listening, not only waiting for their time to pass."""
    port, timed_out, listening = int(url.rpartition(":")[2]), "06", "0A"
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    return sum(int(row[1].split(":")[1], 16) == port and row[3] not in (timed_out, listening) for row in rows)


async def capacity(crowd: Crowd, pid: int, seconds: float) -> dict[str, float]:
    """Network pixels a second, and a second of the server's processor time, where nobody waits for more than a few."""
    end = time.perf_counter() + seconds / 6 + seconds

    async def one() -> None:
        while time.perf_counter() < end:
            await crowd.good()

    running = [asyncio.create_task(one()) for _ in range(CLOSED_CLIENTS)]
    await asyncio.sleep(seconds / 6)
    since, before, used = time.perf_counter(), crowd.tally.pixels, sample(pid)["processor"]
    await asyncio.sleep(end - time.perf_counter())
    pixels = crowd.tally.pixels - before
    found = {
        "a_second": pixels / (time.perf_counter() - since),
        "a_processor_second": pixels / (sample(pid)["processor"] - used),
    }
    await asyncio.gather(*running)
    return found


async def arrivals(crowd: Crowd, seconds: float, chance: random.Random, tick: Callable[[float], float]) -> None:
    """For `seconds`, as many good photos a second as `tick` says on average, and the others of the mix beside them.

    Ends when all are answered.
    """
    async with asyncio.TaskGroup() as running:
        since = time.perf_counter()
        due, next_job, next_tick, rate = since, since, since, 1.0
        while due < since + seconds:
            if due >= next_tick:
                rate = tick(due - since)
                next_tick += SAMPLE_SECONDS
            if due > next_job:
                running.create_task(crowd.job())
                next_job += JOB_SECONDS
            due += chance.expovariate(rate / GOOD)
            await asyncio.sleep(due - time.perf_counter())
            running.create_task(crowd.arrive())


async def soak(
    url: str, pid: int, log: IO[bytes], asked: argparse.Namespace, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """A warm-up, and then rounds of load between measurements of the capacity; what is left when nobody asks."""
    samples: list[dict[str, float]] = []
    rounds: list[dict[str, float]] = []
    capacities: list[dict[str, float]] = []
    found: dict[str, Any] = {"processor": processor(), "seed": asked.seed}
    found |= {"samples": samples, "rounds": rounds, "capacities": capacities}
    count = max(1, round(3600 * asked.hours / ROUND_SECONDS))
    seconds = 3600 * asked.hours / count
    tally = Tally()
    chance = random.Random(asked.seed)  # noqa: S311
    async with Crowd(url, asked.seed) as crowd:
        first = await crowd.same()
        found["idle"] = sample(pid)
        crowd.tally = Tally()
        rate = await capacity(crowd, pid, asked.capacity_seconds)
        with tqdm(total=int(asked.warm_up + 3600 * asked.hours), unit="s", mininterval=5, smoothing=0) as progress:

            def tick(at: float) -> float:
                """Note how it stands, and say how many good photos a second are twice what can be done."""
                refused = sum(n for name, n in tally.answers.items() if " 503" in name)
                samples.append(sample(pid))
                goodputs = " ".join(f"{goodput(*each):.2f}" for each in between(rounds, capacities))
                progress.set_postfix_str(
                    f"{samples[-1]['rss'] / 1e6:.0f} MB, {samples[-1]['descriptors']:.0f} descriptors, "
                    f"{tally.pictures} pictures, {refused} refused, {tally.faults['lost']} lost, "
                    f"{tally.faults['wrong']} wrong, goodput of rounds {goodputs}"
                )
                progress.update(int(at) - progress.n)
                if len(samples) % 12 == 0:
                    keep(found | {"faults": tally.lost + tally.wrong})
                return OVER * rate["a_second"] / MEAN_PIXELS

            crowd.tally = tally  # of the warm-up too: whoever is lost there is lost
            await arrivals(crowd, asked.warm_up, chance, tick)
            samples.clear()
            for number in range(count):
                crowd.tally = Tally()
                rate = await capacity(crowd, pid, asked.capacity_seconds)
                capacities.append(rate)
                crowd.tally = tally
                start, since = (sample(pid) | {"pixels": tally.pixels, "offered": tally.offered}), time.perf_counter()
                used = time.process_time()
                before = asked.warm_up + number * seconds
                await arrivals(crowd, seconds, chance, lambda at, before=before: tick(before + at))
                took = time.perf_counter() - since
                rounds.append(
                    {
                        "seconds": took,
                        "pixels": tally.pixels - start["pixels"],
                        "offered": (tally.offered - start["offered"]) / seconds,
                        "processor": sample(pid)["processor"] - start["processor"],
                        "generator": (time.process_time() - used) / took,
                    }
                )
        crowd.tally = Tally()
        capacities.append(await capacity(crowd, pid, asked.capacity_seconds))
        found["same"] = await crowd.same() == first
    await asyncio.sleep(5)
    found["left"] = sample(pid) | {"connections": connections(pid, url)}
    async with httpx.AsyncClient(base_url=url) as client:
        lines = (await client.get("/metrics")).text.splitlines()
        found["engine"] = (await client.get("/readyz")).json()["engine"]
    for name in ("impasto_uploads", "impasto_queue_items"):
        found["left"][name] = sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))
    text = os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0).decode(errors="replace")
    return found | {
        "sent": dict(tally.sent),
        "answers": dict(sorted(tally.answers.items())),
        "pictures": tally.pictures,
        "jobs": tally.jobs_done,
        "lost": tally.faults["lost"],
        "wrong": tally.faults["wrong"],
        "faults": tally.lost + tally.wrong,
        "p50": tally.percentile(50),
        "p95": tally.percentile(95),
        "tracebacks": text.count("Traceback"),
        "critical": text.count("CRITICAL"),
    }


def processor() -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return next(names, ":unknown").split(":")[1].strip()


def between(
    rounds: Sequence[dict[str, float]], capacities: Sequence[dict[str, float]]
) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """Each round with the mean of the capacities before and after it, as far as both are there."""
    for one, before, after in zip(rounds, capacities, capacities[1:], strict=False):
        yield one, {unit: statistics.fmean((before[unit], after[unit])) for unit in before}


def goodput(one: dict[str, float], capacity: dict[str, float]) -> float:
    """Of the capacity."""
    return one["pixels"] / one["seconds"] / capacity["a_second"]


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """What is judged, of the time after the warm-up."""
    steady, rounds = found["samples"], found["rounds"]
    tenth = max(len(steady) // 10, 1)
    rss = [one["rss"] for one in steady]
    start, end = statistics.median(rss[:tenth]), statistics.median(rss[-tenth:])
    held = list(between(rounds, found["capacities"]))
    total = sum(one["seconds"] for one in rounds)
    could = sum(one["seconds"] * capacity["a_second"] for one, capacity in held)
    could_with_that_processor = sum(one["processor"] * capacity["a_processor_second"] for one, capacity in held)
    pixels, used = (sum(one[name] for one in rounds) for name in ("pixels", "processor"))

    return {
        "seconds": total,
        "rss": {"first tenth": start, "last tenth": end, "least": min(rss), "most": max(rss)},
        "rss_change": end / start - 1,
        **{name: [min(o[name] for o in steady), max(o[name] for o in steady)] for name in ("descriptors", "threads")},
        "processor": used / total,
        "offered": statistics.fmean(one["offered"] / capacity["a_second"] for one, capacity in held),
        "goodput": pixels / could,
        "goodputs": [goodput(*each) for each in held],
        "goodput_of_time": pixels / could_with_that_processor,
    }


def show(found: dict[str, Any]) -> None:
    """The table."""
    of, idle, left = found["figures"], found["idle"], found["left"]
    rates = [one["a_second"] / 1e6 for one in found["capacities"]]
    least_and_most = "{:.0f} to {:.0f}"
    rows = {
        "good photos offered, of the capacity": f"{of['offered']:.2f}",
        "capacity, megapixels/s": f"{min(rates):.3f} to {max(rates):.3f}",
        "goodput, of the capacity": f"{of['goodput']:.3f}",
        "  of single rounds": " ".join(f"{one:.2f}" for one in of["goodputs"]),
        "  the same per second of processor time": f"{of['goodput_of_time']:.3f}",
        "  processor time the server had": f"{of['processor']:.0%}",
        "pictures, jobs": f"{found['pictures']}, {found['jobs']}",
        "p50, p95 of pictures": f"{found['p50']:.1f} s, {found['p95']:.1f} s",
        "lost requests": found["lost"],
        "wrong answers": found["wrong"],
        **{f"memory, {name}": f"{rss / 1e6:.0f} MB" for name, rss in of["rss"].items()},
        "  change": f"{of['rss_change']:+.1%}",
        "descriptors": least_and_most.format(*of["descriptors"]),
        "descriptors idle before, after": f"{idle['descriptors']:.0f}, {left['descriptors']:.0f}",
        "threads": least_and_most.format(*of["threads"]),
        "threads idle before, after": f"{idle['threads']:.0f}, {left['threads']:.0f}",
        "connections, uploads, items left": ", ".join(
            f"{left[name]:.0f}" for name in ("connections", "impasto_uploads", "impasto_queue_items")
        ),
        "tracebacks, critical lines in the log": f"{found['tracebacks']}, {found['critical']}",
        "the first request again: the same picture": found["same"],
        "exit status on SIGTERM": found["status"],
        "a core's part the sender took": f"{max(one['generator'] for one in found['rounds']):.2f}",
    }
    print(f"{of['seconds'] / 60:.0f} minutes; {found['processor']}, {found['engine']}")
    for name, value in rows.items():
        print(f"{name:42} {value}")
    for name, count in [*found["sent"].items(), *found["answers"].items()]:
        print(f"  {name:40} {count}")
    print(*found["faults"], sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="time under load, in hours (default: 1)")
    parser.add_argument("--warm-up", type=float, default=180.0, help="load before that, in seconds (default: 180)")
    parser.add_argument("--capacity-seconds", type=float, default=60.0, help="for each time (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the arrivals (default: 1)")
    parser.add_argument("--out", type=Path, default=FOLDER / "soak.json", help="JSON file for what was found")
    asked = parser.parse_args()

    def keep(found: dict[str, Any]) -> None:
        asked.out.write_text(json.dumps(found, indent=1))

    asked.out.parent.mkdir(parents=True, exist_ok=True)
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(others or [first]))
    with tempfile.TemporaryDirectory() as folder, asked.out.with_suffix(".log").open("wb+") as log:
        with pinned({first}):
            process, url = started("app", "/readyz", "serve", *OPTIONS, "--data-dir", folder, "--port", log=log)
        try:
            found = asyncio.run(soak(url, process.pid, log, asked, keep))
            process.send_signal(signal.SIGTERM)
            found["status"] = process.wait(timeout=60)
        finally:
            process.kill()  # where it still runs
            process.wait()
    found["figures"] = figures(found)
    keep(found)
    show(found)


if __name__ == "__main__":
    main()
