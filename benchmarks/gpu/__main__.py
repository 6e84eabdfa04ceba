"""What the service does on a GPU, in one command: the network, several ways side by side, and the service over HTTP.

`--quick` takes two minutes and leaves out what needs a compiler. Each part runs in a process of its own, within a time:
what fails costs its own rows. In the folder `--out`, results.jsonl gets each row as it is found, and results.txt the
tables.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu.candidates import NAMES
from benchmarks.gpu.tables import tables

Row = dict[str, Any]

OWN: Final = "graphs"
QUICK: Final = ("bordered", "tuned", "eager")
QUICK_SECONDS: Final = 60.0
WHOLE_SECONDS: Final = 900.0
END_SECONDS: Final = 10.0


def rows_of(command: Sequence[str], limit: float, found: Callable[[Row], None]) -> None:
    """Run a part for at most `limit` seconds; `found` gets each of its rows, and one more where it failed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        # It ends what it has started itself, or is ended with all of that.
        late = [threading.Timer(limit, process.terminate), threading.Timer(limit + END_SECONDS, _end, (process,))]
        for timer in late:
            timer.daemon = True
            timer.start()
        try:
            for line in process.stdout or ():
                try:
                    found(json.loads(line))
                except ValueError:
                    print(line, end="", file=sys.stderr)
            process.wait()
        except BaseException:
            process.terminate()
            raise
    why = f"took more than {limit:g} s" if not late[0].is_alive() else f"ended with {process.returncode}"
    for timer in late:
        timer.cancel()
    if process.returncode:
        found({"kind": "failed", "candidate": " ".join(command[2:]), "error": why})


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/gpu"), help="folder (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="cpu to rehearse it")
    parser.add_argument("--seconds", type=float, help="time for each measurement (default: 1, of HTTP 5)")
    parser.add_argument("--candidates", nargs="*", choices=NAMES, help="ways to run the network, beside the service's")
    parser.add_argument("--sides", type=int, nargs="+", help="of the pictures, in pixels")
    parser.add_argument("--batches", type=int, nargs="+")
    parser.add_argument("--limit", type=float, help="seconds that each part may take at most")
    asked = parser.parse_args()
    sides = asked.sides or ([512] if asked.quick else [256, 512, 1024, 2048])
    batches = asked.batches or [1, 4, 16]
    others = [name for name in NAMES if name != OWN] if asked.candidates is None else asked.candidates
    if asked.quick and asked.candidates is None:
        others = list(QUICK)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    seconds = [] if asked.seconds is None else ["--seconds", str(asked.seconds)]
    limit = asked.limit or (QUICK_SECONDS if asked.quick else WHOLE_SECONDS)

    def found(row: Row) -> None:
        rows.append(row)
        with (asked.out / "results.jsonl").open("a") as file:
            print(json.dumps(row), file=file)
        print(json.dumps(row), file=sys.stderr, flush=True)

    def part(module: str, *more: str) -> None:
        rows_of([sys.executable, "-m", module, "--device", asked.device, *seconds, *more], limit, found)

    def network(name: str, *more: str) -> None:
        sizes = ["--sides", *map(str, sides), "--batches", *map(str, batches)]
        part("benchmarks.gpu.network", "--candidates", name, *sizes, *more)

    (asked.out / "results.jsonl").unlink(missing_ok=True)
    # Whoever has no more time gets the tables of what there is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        network(OWN, "--two")
        loads = ["--clients", "1", "64", "128", "--loads", "0.7"] if asked.quick else []
        part("benchmarks.gpu.service", "--side", str(512 if 512 in sides else sides[0]), *loads)
        for name in others:
            network(name)
    finally:
        text = tables(rows)
        (asked.out / "results.txt").write_text(text)
        print(text, flush=True)


if __name__ == "__main__":
    main()
