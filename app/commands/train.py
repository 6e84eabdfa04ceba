"""`impasto train`: a decoder from folders of pictures."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal, get_args, get_origin

import click
import torch
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.engine.create import available_cores
from app.network.decoder import Decoder
from app.network.weights import WeightsError, read_weights
from app.training import checkpoint
from app.training.data import Index, split
from app.training.encoders import load_encoder
from app.training.errors import TrainingError
from app.training.loop import CHECKPOINT, DECODER, Run
from app.training.options import TrainingOptions
from app.training.trainer import chosen_device, new_decoder

HELP: Final = """Train a decoder: folders of photos and of paintings in, a decoder the service loads out.

\b
impasto train --content photos/ --style paintings/ --out run/
impasto train --resume --out run/                              go on where it stopped
impasto train --content coco/train2017 --style wikiart --out run/ --steps 160000
impasto train ... --widths 128,128/64,64/32,32/16              a smaller, faster decoder
impasto train ... --steps 1000 --crops 64 --batch 16           minutes on a CPU, to see that it learns
tensorboard --logdir run/log                                   curves and pictures while it runs
IMPASTO_DECODER_WEIGHTS=run/decoder.safetensors impasto serve  serve what came of it

Any photos and any paintings will do; the paper took MS-COCO (https://cocodataset.org, train2017: 118,000 photos) and
WikiArt (80,000 paintings, https://www.kaggle.com/c/painter-by-numbers). A hundred styles are a start.

Ctrl-C saves and stops; a second one stops at once. On a GPU it computes in bfloat16, as on CPUs that do so natively.
"""
FIXED: Final = ("encoder", "encoder_weights", "widths", "decoder", "adversarial")


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
    field = TrainingOptions.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    return str(extra["group"]) if isinstance(extra, dict) else "What and where"


def _option(name: str, field: FieldInfo) -> click.Option:
    default = "" if field.default is None else f"  [default: {field.default}]"
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    metavar = f"[{'|'.join(choices)}]" if choices else "VALUE"
    return click.Option([f"--{name.replace('_', '-')}"], metavar=metavar, help=f"{field.description}{default}")


def _train(content: Path | None, style: Path | None, out: Path, resume: bool, **given: str | None) -> None:
    asked = {name: value for name, value in given.items() if value is not None}
    try:
        reached, steps = _run(content, style, out, resume, asked)
    except (TrainingError, WeightsError) as error:
        raise click.ClickException(str(error)) from None
    if reached < steps:
        click.echo(f"Stopped at step {reached} of {steps}; go on with: impasto train --resume --out {out}", err=True)
        sys.exit(128 + signal.SIGINT)
    click.echo(f"{out / DECODER}\nServe it: IMPASTO_DECODER_WEIGHTS={out / DECODER} impasto serve")


def _run(content: Path | None, style: Path | None, out: Path, resume: bool, asked: dict[str, str]) -> tuple[int, int]:
    saved = out / CHECKPOINT
    if not resume and saved.exists():
        raise TrainingError(f"{out}: already holds a run; --resume goes on with it, or choose another --out")
    tensors, facts = checkpoint.load(saved) if resume else ({}, {})
    options = _options(facts.get("options", {}), asked)
    content = content or (Path(facts["content"]) if facts else None)
    style = style or (Path(facts["style"]) if facts else None)
    if content is None or style is None:
        raise click.UsageError("--content and --style: give a folder of photos and a folder of paintings")
    device = chosen_device(options.device)
    torch.set_num_threads(options.threads or available_cores())
    encoder = load_encoder(options.encoder, options.encoder_weights)
    decoder = Decoder.from_weights(read_weights(options.decoder)) if options.decoder else new_decoder(options)
    contents, styles = _pictures(content, style, out, options)
    run = Run(options, contents, styles, encoder, decoder, device, out)
    if facts:
        run.resume(tensors, facts)
        if facts["encoder_sha256"] != encoder.sha256:
            raise TrainingError(f"{out}: was trained under another encoder file; give that as --encoder-weights")
        if facts["fingerprints"] != [contents.fingerprint, styles.fingerprint]:
            click.echo("The pictures are not those it began with; it goes on with what is there now.", err=True)
    half = "bfloat16" if run.trainer.half else "float32"
    click.echo(
        f"{options.encoder} on {device} in {half}, from step {run.step} to {options.steps}, into {out}", err=True
    )
    with _asked_to_stop() as stopped:
        run.run(lambda: bool(stopped))
    return run.step, options.steps


def _options(saved: dict[str, Any], asked: dict[str, str]) -> TrainingOptions:
    try:
        options = TrainingOptions.model_validate(saved | asked)
        before = TrainingOptions.model_validate(saved)
    except ValidationError as invalid:
        faults = [f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}; found {e['input']!r}" for e in invalid.errors()]
        raise click.UsageError("; ".join(faults)) from None
    for name in FIXED if saved else ():
        if getattr(options, name) != getattr(before, name):
            raise click.UsageError(
                f"--{name.replace('_', '-')}: was {getattr(before, name)} when the run began; choose another --out"
            )
    return options


def _pictures(content: Path, style: Path, out: Path, options: TrainingOptions) -> Any:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out}: cannot be a folder for results ({error.strerror})") from None
    index = Index(out / "pictures.json")
    splits = [split(folder, index, options.val_share, options.test_share) for folder in (content, style)]
    checkpoint.write(index.path, index.encoded())
    for part in splits:
        click.echo(part.summary(), err=True)
        if not part.val:
            click.echo(f"{part.folder}: too few pictures to hold some back, so there will be no validation", err=True)
    return splits


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """Gets the signal that asked to stop; the second one acts as ever."""
    stopped: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stopped.append(number)
        signal.signal(number, before[signal.Signals(number)])
        click.echo("\nStopping after this step; saving.", err=True)

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
        *(_option(name, field) for name, field in TrainingOptions.model_fields.items()),
    ],
)
