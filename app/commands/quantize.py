"""What `impasto weights quantize` does: ranges of a decoder, and how far its results in int8 are from float32's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from app.cores import available_cores
from app.engine.base import Engine, Job
from app.engine.create import EngineUnavailable, create_engine
from app.evaluation.calibration import Calibration, pairs_of
from app.evaluation.device import chosen_device
from app.evaluation.pictures import pictures_in, read_squares
from app.files import write_whole
from app.network.blend import shares
from app.network.ranges import ranges_path
from app.network.weights import read_networks

# Of a picture in int8 against the same in float32; 35 dB on average is what good ranges give.
LEAST_DECIBELS: Final = 30.0
CHECKS: Final = 8


def quantize_decoder(
    content: Path, style: Path, decoder: Path, encoder: Path, out: Path | None, pairs: int, size: int, device: str
) -> Path:
    """Write the file of ranges, tell how close int8 comes, and give the file's path.

    Raises EvaluationError for folders or pictures, WeightsError for weights, OSError where it cannot be written.
    """
    contents, styles = pictures_in(content), pictures_in(style)
    encoding, decoding = read_networks(encoder, decoder)
    place = chosen_device(device)
    torch.set_num_threads(available_cores())
    calibration = Calibration.of(encoding, decoding, place)
    # Those that are checked come from between those the ranges are taken from, where there are enough.
    chosen = pairs_of(contents, styles, pairs + CHECKS)
    checked = chosen[:: max(1, len(chosen) // CHECKS)][:CHECKS]
    shown = [pair for pair in chosen if pair not in checked] or chosen
    with tqdm(total=len(shown), desc="repainting", unit="picture", leave=False) as bar:
        ranges = calibration.take(shown, size, bar.update)
    path = out or ranges_path(decoder)
    write_whole(path, ranges.encoded(encoding, decoding))
    if path != ranges_path(decoder):
        click.echo(f"It is found beside the decoder only: move it to {ranges_path(decoder)}", err=True)
    else:
        _check(checked, encoder, decoder, size)
    return path


def _check(pairs: Sequence[tuple[Path, Path]], encoder: Path, decoder: Path, size: int) -> None:
    try:
        engines = [
            create_engine("auto", "cpu", encoder=encoder, decoder=decoder, precision=precision)
            for precision in ("float32", "int8")
        ]
    except EngineUnavailable as error:
        click.echo(f"Not compared with float32: {error}", err=True)
        return
    found = []
    for pair in tqdm(pairs, desc="comparing", unit="picture", leave=False):
        found.append(_decibels(engines, pair, size))
    mean, (least, worst) = np.mean([decibels for decibels, _ in found]), min(found)
    click.echo(
        f"In int8 {len(found)} pictures are {mean:.1f} dB from float32 on average, {least:.1f} at least.", err=True
    )
    if least < LEAST_DECIBELS:
        click.echo(
            f"{worst} comes out far from float32 (under {LEAST_DECIBELS:g} dB): look at it in both, by "
            "IMPASTO_PRECISION=int8 and =float32; take ranges from more and other pictures (--pairs), or stay with "
            "float32",
            err=True,
        )


def _decibels(engines: Sequence[Engine], pair: tuple[Path, Path], size: int) -> tuple[float, str]:
    """Peak signal-to-noise ratio of the second engine's result against the first's, and what it is of."""
    content, style = (
        np.ascontiguousarray(picture.permute(1, 2, 0).mul(255).round().byte().numpy())
        for picture in read_squares(pair, size)
    )
    one, other = (_repainted(engine, content, style) for engine in engines)
    error = float(np.square(one - other).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9))), f"{pair[0].name} in the style of {pair[1].name}"


def _repainted(engine: Engine, content: NDArray[np.uint8], style: NDArray[np.uint8]) -> NDArray[np.float64]:
    [result] = engine.stylize([Job(content, (engine.encode_style(style),), shares([1.0]))])
    return result.astype(np.float64)
