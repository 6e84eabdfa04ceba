"""The service on one device over real HTTP, with JPEGs in and out and a remembered style: where the time goes.

Closed loop: clients who each ask again once they are answered. Open loop: random arrivals that wait for nobody, in
parts of the rate that the closed loop shows. Rows are JSON, a line each, for `benchmarks.gpu`, which shows them.
"""

import argparse
import os
import signal
import sys

from benchmarks.gpu.clients import Answered, Load, remembered_style, under_load
from benchmarks.gpu.network import report
from benchmarks.gpu.power import Power
from benchmarks.server import running_server

CLIENTS = (1, 16, 64, 128)
LOADS = (0.5, 0.7, 0.9, 1.5)
BATCH_PIXELS = 8 * 2**20
MOST_REQUESTS = 512
WARM_UP_SECONDS = 4.0  # batches of many sizes come, and each is recorded at its third


def row(load: Load, answered: Answered, watts: float | None) -> None:
    count = max(1, len(answered.times))
    report(
        "http",
        clients=load.clients,
        offered=load.rate,
        side=load.side,
        rate=answered.rate,
        p50=1000 * answered.percentile(50),
        p99=1000 * answered.percentile(99),
        refused=answered.refused / max(1, answered.refused + len(answered.times)),
        stages={stage: 1000 * seconds / count for stage, seconds in answered.stages.items()},
        batch=answered.batches / count,
        watts=watts,
    )


def main() -> None:
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--side", type=int, default=512, help="of the photo and the result, in pixels")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each row (default: 5)")
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--loads", type=float, nargs="*", default=LOADS, help="parts of the closed loop's best rate")
    parser.add_argument("--image-processes", type=int, default=cores, help="of the service (default: one a core)")
    parser.add_argument("--client-processes", type=int, default=max(1, cores // 4))
    asked = parser.parse_args()
    options = {
        "device": asked.device,
        "engine": "auto" if asked.device == "cpu" else "torch",
        "batch-pixels": BATCH_PIXELS,
        "image-processes": asked.image_processes,
        "max-requests": MOST_REQUESTS,
        "queue-seconds": 2,
    }
    # Whoever ends it early is not to leave a server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with running_server(*words) as url, Power(asked.device != "cpu") as power:
        style = remembered_style(url)
        processes = asked.client_processes
        under_load(Load(url, style, asked.side, min(WARM_UP_SECONDS, asked.seconds), clients=64), processes)
        best = 0.0
        for clients in asked.clients:
            load = Load(url, style, asked.side, asked.seconds, clients=clients)
            with power.measured() as used:
                answered = under_load(load, processes)
            row(load, answered, used.watts)
            best = max(best, answered.rate)
        for part in asked.loads:
            load = Load(url, style, asked.side, asked.seconds, rate=part * best)
            with power.measured() as used:
                answered = under_load(load, processes)
            row(load, answered, used.watts)


if __name__ == "__main__":
    main()
