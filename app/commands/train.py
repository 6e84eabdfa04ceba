"""`impasto train`: a decoder from folders of pictures."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import Field, fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click
from tqdm import tqdm

from app.engine.create import bound_spinning
from app.engine.faults import out_of_memory, trouble
from app.evaluation.errors import EvaluationError
from app.network.weights import WeightsError
from app.training.options import TrainingOptions, flag

if TYPE_CHECKING:
    from app.training.loop.run import Run

HELP: Final = """Train a decoder: folders of photos and of paintings in, a decoder the service loads out.

\b
impasto train --content photos/ --style paintings/ --out run/
impasto train --resume --out run/                             go on where it stopped
impasto train --content coco/train2017 --style wikiart --out run/ --steps 160000
impasto train ... --widths 128,128/64,64/32,32/16             a smaller, faster decoder
impasto train ... --decoder run/decoder.safetensors           go on from a decoder, with other losses
impasto train ... --steps 400 --crops 64 --batch 8            minutes on a CPU, to see that it learns
tensorboard --logdir run/log                                  curves and pictures while it runs
IMPASTO_DECODER_WEIGHTS=run/decoder.safetensors impasto serve

Any photos and any paintings will do; the paper took MS-COCO (https://cocodataset.org, train2017: 118,000 photos) and
WikiArt (80,000 paintings, https://www.kaggle.com/c/painter-by-numbers). A hundred styles are a start.

Ctrl-C saves and stops; a second one stops at once. --resume then goes on to the numbers of a run that never stopped.
A weight of 0 leaves its loss without effect.
"""
# Of photos repainted for the ranges of int8 at the end: seconds, where a run takes hours.
RANGES_PAIRS: Final = 32
RANGES_SIDE: Final = 128
OPTIONS: Final = fields(TrainingOptions)


class TrainCommand(click.Command):
    """Shows its options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record:
                groups.setdefault(_group(param.name or ""), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def _group(name: str) -> str:
    return next((str(entry.metadata["group"]) for entry in OPTIONS if entry.name == name), "What and where")


def _option(entry: Field[Any]) -> click.Option:
    default = "" if entry.default is None else f"  [default: {entry.default}]"
    type = entry.metadata["type"]
    metavar = f"[{'|'.join(type.choices)}]" if isinstance(type, click.Choice) else "VALUE"
    return click.Option([flag(entry.name)], metavar=metavar, help=f"{entry.metadata['help']}{default}")


def _train(content: Path | None, style: Path | None, out: Path, resume: bool, **given: str | None) -> None:
    since = time.monotonic()
    bound_spinning()
    from app.training.loop.run import CHECKPOINT
    from app.training.start import start

    asked = {name: value for name, value in given.items() if value is not None}
    try:
        run, said = start(content, style, out, resume, asked, since)
        click.echo("\n".join(said), err=True)
        with _asked_to_stop() as stopped:
            run.run(lambda: bool(stopped))
    except (EvaluationError, WeightsError) as error:
        raise click.ClickException(str(error)) from None
    except (RuntimeError, MemoryError) as error:
        text = trouble(error)
        if text is None:
            raise
        if out_of_memory(error):
            text += "; a smaller --batch, smaller --crops or a smaller --picture-memory takes less"
        if (out / CHECKPOINT).exists():
            text += f"; what was saved is whole, go on with: impasto train --resume --out {out}"
        raise click.ClickException(text) from None
    if not run.finished:
        click.echo(f"Saved at step {run.step}; go on with: impasto train --resume --out {out}", err=True)
        sys.exit(128 + signal.SIGINT)
    _write_ranges(run)
    click.echo(run.decoder_path)


def _write_ranges(run: "Run") -> None:
    """What int8 needs beside the decoder, from pictures it was trained on; of an encoder the service can run."""
    from app.evaluation.calibration import Calibration, pairs_of
    from app.network.ranges import ranges_path
    from app.network.weights import ENCODER, read_networks
    from app.training import checkpoint

    if run.options.encoder == "resnet50":
        return
    pairs = pairs_of([s.path for s in run.content.train], [s.path for s in run.style.train], RANGES_PAIRS)
    try:
        encoding, decoding = read_networks(run.options.encoder_weights or ENCODER, run.decoder_path)
        with tqdm(total=len(pairs), desc="ranges for int8", unit="picture", leave=False) as bar:
            ranges = Calibration.of(encoding, decoding, run.trainer.device).take(pairs, RANGES_SIDE, bar.update)
        checkpoint.write(ranges_path(run.decoder_path), ranges.encoded(encoding, decoding))
    except (EvaluationError, WeightsError) as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Gets the signal that asked to stop; the second one acts as ever."""
    stopped: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        signal.signal(number, before[signal.Signals(number)])
        click.echo("\nStopping after this step.", err=True)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, note)
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


train = TrainCommand(
    "train",
    callback=_train,
    help=HELP,
    params=[
        click.Option(["--content"], type=click.Path(path_type=Path), help="Folder of photos, with all below it."),
        click.Option(["--style"], type=click.Path(path_type=Path), help="Folder of paintings, with all below it."),
        click.Option(["--out"], type=click.Path(path_type=Path), required=True, help="Folder for what comes of it."),
        click.Option(
            ["--resume"], is_flag=True, help="Go on with the run in --out and its options; those given anew win."
        ),
        *map(_option, OPTIONS),
    ],
)
