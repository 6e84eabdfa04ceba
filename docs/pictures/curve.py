"""Draws training.png, the shipped decoder's validation over its hours of training, from training.csv.

`python docs/pictures/curve.py RUN...` first appends the validations in the logs of those folders of `impasto train`, as
of runs that went side by side. A run judges at the side of its largest crops, so runs are drawn apart from each other,
and coloured by that side.
"""

import csv
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.training import checkpoint
from app.training.loop.run import CHECKPOINT
from app.training.options import crop_shares

CURVES = {
    "val/content": "content loss",
    "val/style": "style loss",
    "val/reconstruction_psnr": "reconstruction at strength 0, dB",
}
COLOURS = {128: "#2c6cb5", 192: "#5b8c3a", 256: "#b5452c"}
OTHERS = "#777777"
HERE = Path(__file__).parent
TABLE = HERE / "training.csv"


def read() -> list[list[float]]:
    """Rows of the run's number, the side it was judged at, hours trained in all, then the curves' values."""
    with TABLE.open(newline="") as file:
        return [[float(value) for value in row] for row in list(csv.reader(file))[1:]]


def append(rows: list[list[float]], run: Path, before: float) -> None:
    log = EventAccumulator(str(run / "log")).Reload()
    began = min(event.wall_time for event in log.Scalars("loss/total"))
    _, facts = checkpoint.load(run / CHECKPOINT)
    side = max(side for side, _ in crop_shares(facts["options"]["crops"]))
    number = rows[-1][0] + 1 if rows else 1
    for point in zip(*(log.Scalars(name) for name in CURVES), strict=True):
        hours = before + (point[0].wall_time - began) / 3600
        rows.append([number, side, hours, *(event.value for event in point)])
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "pixels", "hours", *CURVES])
        writer.writerows([f"{value:.4g}" for value in row] for row in rows)


def main() -> None:
    rows = read() if TABLE.exists() else []
    before = max((row[2] for row in rows), default=0.0)
    for run in sys.argv[1:]:
        append(rows, Path(run), before)
    figure, panels = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for column, (axes, title) in enumerate(zip(panels, CURVES.values(), strict=True), 3):
        for (_, side), run in groupby(rows, itemgetter(0, 1)):
            hours, values = zip(*(itemgetter(2, column)(row) for row in run), strict=True)
            axes.plot(hours, values, "o-", markersize=3, color=COLOURS.get(side, OTHERS))
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("hours on two CPU cores", fontsize=8)
        axes.grid(alpha=0.3)
    for side in sorted({row[1] for row in rows}):
        panels[0].plot([], [], "o-", markersize=3, color=COLOURS.get(side, OTHERS), label=f"judged at {side:g} pixels")
    panels[0].legend(fontsize=7)
    figure.savefig(HERE / "training.png", dpi=110)


if __name__ == "__main__":
    main()
