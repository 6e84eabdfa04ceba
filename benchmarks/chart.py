"""The last runs of the other benchmarks as one picture: engines, sizes, and the service under load."""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.results import FOLDER, load

OURS = "#b5452c"
PEERS = ("#3c6e91", "#8a8f98", "#5b8c5a", "#c9a227", "#7b5ea7", "#2a9d8f")


def colour(name: str, number: int) -> str:
    """Ours stand out."""
    return OURS if name in ("ncnn", "impasto", "OpenVINO, int8") else PEERS[number % len(PEERS)]


def engines(axes: Axes, found: dict[str, Any]) -> None:
    """Bars: time of each engine in parts of torch eager's, at each size."""
    times = {(row["side"], row["engine"]): row["seconds"] for row in found["rows"]}
    sides = sorted({side for side, _ in times})
    names = list(dict.fromkeys(row["engine"] for row in found["rows"]))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        places = [index + (number - (len(names) - 1) / 2) * width for index in range(len(sides))]
        parts = [times[side, name] / times[side, "torch eager"] for side in sides]
        bars = axes.bar(places, parts, width * 0.92, label=name, color=colour(name, number))
        axes.bar_label(bars, fmt="%.2f", fontsize=6)
    axes.set_xticks(range(len(sides)), [f"{side}x{side}" for side in sides])
    axes.set_title(f"Time of one picture, torch eager = 1\n(sgemm here: {found['sgemm'] / 1e9:.0f} GFLOP/s)")
    axes.set_ylim(top=1.5 * axes.get_ylim()[1])  # room for the legend
    axes.legend(fontsize=7, loc="upper left")


def sizes(axes: Axes, found: dict[str, Any]) -> None:
    """Lines: peak memory against the picture's size; each ends where the engine does."""
    for number, name in enumerate(dict.fromkeys(row["engine"] for row in found["rows"])):
        rows = [row for row in found["rows"] if row["engine"] == name]
        line = [[row["megapixels"] for row in rows], [row["peak"] / 1e9 for row in rows]]
        axes.semilogx(*line, "o-", label=name, color=colour(name, number))
    axes.axhline(found["memory"] / 1e9, color="#8a8f98", linestyle=":", label="what a process may take")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("Peak memory, GB, by megapixels")
    axes.legend(fontsize=7)


def under_load(axes: Axes, found: dict[str, Any]) -> None:
    """Lines: the 99th percentile in service times, by load; and the part of the capacity that came back as pictures."""
    for number, arrivals in enumerate(("even", "random")):
        rows = [row for row in found["open"] if row["arrivals"] == arrivals]
        line = [[row["load"] for row in rows], [row["p99_of_service"] for row in rows]]
        axes.plot(*line, "o-", label=f"p99 / service time, {arrivals} arrivals", color=PEERS[number])
    rows = [row for row in found["open"] if row["arrivals"] == "even"]
    axes.plot([r["load"] for r in rows], [r["goodput"] for r in rows], "s--", label="goodput of capacity", color=OURS)
    axes.set_title("The service by load, in parts of its capacity")
    axes.legend(fontsize=7)


PANELS = {"engines": engines, "sizes": sizes, "serving": under_load}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER / "chart.png", help="the picture (default: %(default)s)")
    asked = parser.parse_args()
    there = {name: found for name in PANELS if (found := load(name))}
    if not there:
        parser.error("nothing was measured yet: run make bench, or python -m benchmarks.engines")
    figure, axes = plt.subplots(1, len(there), figsize=(5.5 * len(there), 4.5), squeeze=False)
    for axis, (name, found) in zip(axes[0], there.items(), strict=True):
        PANELS[name](axis, found)
    figure.tight_layout()
    figure.savefig(asked.out, dpi=110)
    print(f"chart: {asked.out}")


if __name__ == "__main__":
    main()
