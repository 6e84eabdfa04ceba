"""Judge decoders in styles of one colour, where the right result is known: that colour, and nothing drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan
from pathlib import Path
from statistics import fmean
from typing import Final

import torch

from app.evaluation.colours import colour_distance, colour_statistics, flat_texture
from app.evaluation.encoders import TapEncoder
from app.evaluation.judge import CHUNK, Method, Scores, Style
from app.evaluation.pictures import read_squares

COLOURS: Final = tuple(product((0.0, 0.5, 1.0), repeat=3))


@dataclass(frozen=True)
class Plain:
    """Over all contents in each of `COLOURS`.

    `colour_distance` is from the style's mean colour to the result's, Delta E 1976, and `worst_colour_distance` that
    of the colour with the most; `flat_texture` as in `app.evaluation.colours`, None where no content has a flat part.
    """

    colour_distance: float
    worst_colour_distance: float
    flat_texture: float | None


@torch.inference_mode()
def judge_plain(
    encoder: TapEncoder,
    method: Method,
    contents: Sequence[Path],
    side: int,
    device: torch.device,
    progress: Callable[[int], object] | None = None,
) -> Plain:
    """Every content in every plain colour at `side` x `side` pixels; `progress` gets the number of results done."""
    styles = [_plain_style(encoder, colour, side, device) for colour in COLOURS]
    distances: list[list[float]] = [[] for _ in COLOURS]
    textures: list[float] = []
    for start in range(0, len(contents), CHUNK):
        chunk = contents[start : start + CHUNK]
        pictures = read_squares(chunk, side).to(device)
        features = encoder.taps(pictures)[-1]
        for style, found in zip(styles, distances, strict=True):
            results = method.results(chunk, features, style)
            means = colour_statistics(results)[:, :3]
            found += colour_distance(means, style.colours[:, :3]).tolist()
            textures += [value for value in flat_texture(results, pictures).tolist() if not isnan(value)]
            if progress:
                progress(len(chunk))
    means_of_colours = [fmean(found) for found in distances]
    return Plain(fmean(means_of_colours), max(means_of_colours), fmean(textures) if textures else None)


def plain_table(scores: Sequence[Scores], judged: Sequence[Plain | None]) -> str:
    """What was judged as lines of text, each with the name in `scores`."""
    width = max(len("plain styles"), *(len(row.method) for row in scores))
    lines = [f"{'plain styles':{width}}  colour  worst  texture"]
    for row, plain in zip(scores, judged, strict=False):
        if plain:
            texture = "-" if plain.flat_texture is None else f"{plain.flat_texture:.2f}"
            lines.append(
                f"{row.method:{width}}  {plain.colour_distance:6.1f}  {plain.worst_colour_distance:5.1f}  {texture:>7}"
            )
    return "\n".join(lines)


def _plain_style(encoder: TapEncoder, colour: Sequence[float], side: int, device: torch.device) -> Style:
    picture = torch.tensor(colour, device=device).view(1, 3, 1, 1)
    return Style.of("plain", picture.expand(1, 3, side, side), encoder)
