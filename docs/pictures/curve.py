"""Draws training.png, the shipped decoder's validation over its hours of training, from training.csv.

`python docs/pictures/curve.py RUN` first appends the validations in the log of that folder of `impasto train`.
"""

import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CURVES = {
    "val/content": "content loss",
    "val/style": "style loss",
    "val/reconstruction_psnr": "reconstruction at strength 0, dB",
}
HERE = Path(__file__).parent
TABLE = HERE / "training.csv"


def read() -> list[list[float]]:
    """Rows of hours trained, then the curves' values."""
    with TABLE.open(newline="") as file:
        return [[float(value) for value in row] for row in list(csv.reader(file))[1:]]


def append(rows: list[list[float]], run: Path) -> None:
    log = EventAccumulator(str(run / "log")).Reload()
    began = min(event.wall_time for event in log.Scalars("loss/total"))
    before = rows[-1][0] if rows else 0.0
    points = zip(*(log.Scalars(name) for name in CURVES), strict=True)
    rows += [[before + (point[0].wall_time - began) / 3600, *(event.value for event in point)] for point in points]
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["hours", *CURVES])
        writer.writerows([f"{value:.4g}" for value in row] for row in rows)


def main() -> None:
    rows = read() if TABLE.exists() else []
    for run in sys.argv[1:]:
        append(rows, Path(run))
    figure, panels = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for number, (axes, title) in enumerate(zip(panels, CURVES.values(), strict=True), 1):
        axes.plot([row[0] for row in rows], [row[number] for row in rows], "o-", markersize=3, color="#b5452c")
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("hours on two CPU cores", fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(HERE / "training.png", dpi=110)


if __name__ == "__main__":
    main()
