"""`impasto evaluate`: decoders, or another program's results, judged on every content in every style."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import click
import torch
from torch import Tensor
from tqdm import tqdm

from app.cores import available_cores
from app.engine.faults import out_of_memory, trouble
from app.evaluation.device import chosen_device, resident
from app.evaluation.encoders import load_encoder
from app.evaluation.errors import EvaluationError
from app.evaluation.judge import DecoderMethod, FolderMethod, Method, Scores, Unstyled, as_json, judge, table
from app.evaluation.pictures import pictures_in
from app.evaluation.plain import COLOURS, Plain, judge_plain, plain_table
from app.evaluation.sheet import ContactSheet
from app.files import write_whole
from app.network.decoder import Decoder
from app.network.weights import DECODER, WeightsError, read_weights, require_encoder

CELL: Final = 160


@click.command("evaluate")
@click.argument("methods", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--content", required=True, type=click.Path(path_type=Path), help="Folder of photos.")
@click.option("--style", required=True, type=click.Path(path_type=Path), help="Folder of paintings.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for contact sheets and evaluation.json.")
@click.option(
    "--size", default=256, show_default=True, type=click.IntRange(32, 2048), help="Side judged at, in pixels."
)
@click.option("--every", default=1, show_default=True, type=click.IntRange(1), help="Take each n-th picture of both.")
@click.option("--sheet", default=8, show_default=True, type=click.IntRange(1, 64), help="Pictures a side of a sheet.")
@click.option("--plain", is_flag=True, help="Judge decoders in 27 styles of one colour too.")
@click.option("--encoder", default="vgg16", show_default=True, type=click.Choice(["vgg16", "vgg19", "resnet50"]))
@click.option("--encoder-weights", type=click.Path(path_type=Path), help="The encoder's file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "print_json", is_flag=True, help="Print JSON instead of a table.")
def evaluate(methods: tuple[Path, ...], out: Path | None, print_json: bool, **asked: Any) -> None:
    """Judge METHODS on every content in every style.

    A method is a decoder (.safetensors), or a folder of another program's results on the same pairs, named
    CONTENT-STYLE.png as `impasto stylize` names them, with CONTENT.png for strength 0 where there is one. Without
    METHODS the embedded decoder is judged. The photo itself stands below them, for scale.

    \b
    impasto evaluate --content val/content --style val/style --out report/
    impasto evaluate run-a/decoder.safetensors run-b/decoder.safetensors theirs/ --content ... --style ...

    \b
    content loss     mean squared error at relu4_1 against the AdaIN target; less is better
    style loss       over four taps, of channels' means and standard deviations; less is better
    edge SSIM        likeness of the edges to the photo's, 0 to 1; more is better
    grid             what repeats every 8 pixels, as dots in skies do, in levels of 255; less is better
    reconstruction   the photo at strength 0 against itself, PSNR; more is better
    colours          from the style's means and deviations in CIELAB; less is better

    With --plain, of every content in each of 27 flat styles, black to white:

    \b
    colour           from the style's, in CIELAB, of the mean and of the worst of the 27; less is better
    texture          where the photo is flat too, in levels of 255; less is better

    Pictures are resized and cut to their middle square. Losses compare only under one encoder.
    """
    try:
        scores, sheets, plain = _judge(methods or (DECODER,), **asked)
        found = as_json(scores)
        for row, judged in zip(found, plain, strict=False):
            row["plain"] = asdict(judged) if judged else None
        if out:
            for name, png in sheets.items():
                write_whole(out / f"{name}.png", png)
            write_whole(out / "evaluation.json", (json.dumps(found, indent=2) + "\n").encode())
    except (EvaluationError, WeightsError) as error:
        raise click.ClickException(str(error)) from None
    except (RuntimeError, MemoryError) as error:
        text = trouble(error)
        if text is None:
            raise
        more = "; a smaller --size takes less" if out_of_memory(error) else "; try --device cpu"
        raise click.ClickException(text + more) from None
    except OSError as error:
        raise click.ClickException(f"{out}: cannot be written ({error.strerror or error})") from None
    click.echo(json.dumps(found) if print_json else table(scores))
    if any(plain) and not print_json:
        click.echo("\n" + plain_table(scores, plain))
    if out and not print_json:
        click.echo("\n".join(str(out / f"{name}.png") for name in sheets))


def _judge(
    paths: tuple[Path, ...],
    content: Path,
    style: Path,
    size: int,
    every: int,
    sheet: int,
    plain: bool,
    encoder: str,
    encoder_weights: Path | None,
    device: str,
) -> tuple[list[Scores], dict[str, bytes], list[Plain | None]]:
    contents, styles = pictures_in(content)[::every], pictures_in(style)[::every]
    place = chosen_device(device)
    torch.set_num_threads(available_cores())
    taps = resident(load_encoder(encoder, encoder_weights), place)
    methods: list[Method] = []
    for name, path in zip(_names(paths), paths, strict=True):
        if path.is_dir():
            folder = FolderMethod(name, path, size)
            folder.require(contents, styles)
            methods.append(folder)
        else:
            weights = read_weights(path)
            require_encoder(weights, taps.sha256, taps.name, str(encoder_weights or encoder))
            decoder = Decoder.from_weights(weights).eval()
            methods.append(DecoderMethod(name, resident(decoder, place)))
    sheets = {method.name: ContactSheet(contents, styles, sheet, CELL) for method in methods}

    def seen(name: str, content: int, style: int, picture: Tensor) -> None:
        if name in sheets:
            sheets[name].add(content, style, picture)

    total = (len(methods) + 1) * len(contents) * len(styles)
    if plain:
        total += sum(isinstance(method, DecoderMethod) for method in methods) * len(contents) * len(COLOURS)
    with tqdm(total=total, unit="picture", leave=False) as bar:
        scores = judge(taps, [*methods, Unstyled(size)], contents, styles, size, place, seen, bar.update)
        in_plain = [
            judge_plain(taps, method, contents, size, place, bar.update)
            if plain and isinstance(method, DecoderMethod)
            else None
            for method in methods
        ]
    return scores, {name: collected.png() for name, collected in sheets.items()}, in_plain


def _names(paths: tuple[Path, ...]) -> list[str]:
    """Short names that differ: stems, with as many folders before them as that takes."""
    deepest = max(len(path.resolve().parts) for path in paths)
    for depth in range(1, deepest + 1):
        names = ["-".join(path.resolve().with_suffix("").parts[-depth:]).replace("/", "") for path in paths]
        if len(set(names)) == len(paths):
            return names
    width = int(math.log10(len(paths))) + 1
    return [f"{path.stem}-{number:0{width}}" for number, path in enumerate(paths, 1)]
