"""From what a user asks for to a run that is ready to go."""

from pathlib import Path
from typing import Any, Final

import torch

from app.cores import available_cores
from app.evaluation.device import chosen_device
from app.evaluation.encoders import load_encoder
from app.network.weights import read_weights
from app.training import checkpoint
from app.training.data.index import Index, cache_folder
from app.training.data.splits import Splits, split
from app.training.errors import TrainingError
from app.training.loop.memory import keep_freed_memory
from app.training.loop.run import CHECKPOINT, Run
from app.training.options import TrainingOptions, flag
from app.training.step.initial import continued, new_decoder

# What a checkpoint's tensors belong to.
FIXED: Final = ("encoder", "widths", "decoder", "partial_adain", "adversarial", "optimizer")


def start(
    content: Path | None,
    style: Path | None,
    out: Path,
    resume: bool,
    asked: dict[str, str],
    since: float | None = None,
) -> tuple[Run, list[str]]:
    """A new run, or one taken up where it stopped, and what to tell about it. `asked` are options by name.

    `since`, on the monotonic clock, is when the command began.

    Raises TrainingError or WeightsError for whatever keeps it from running.
    """
    saved = out / CHECKPOINT
    if not resume and saved.exists():
        raise TrainingError(f"{out}: already holds a run; --resume goes on with it, or choose another --out")
    tensors, facts = checkpoint.load(saved) if resume else ({}, {})
    # Checkpoints of before there was the option are of decoders without it.
    options = _options({"partial_adain": "none"} | facts["options"] if facts else {}, asked)
    content = content or (Path(facts["content"]) if facts else None)
    style = style or (Path(facts["style"]) if facts else None)
    if content is None or style is None:
        raise TrainingError("--content and --style: give a folder of photos and a folder of paintings")
    device = chosen_device(options.device)
    torch.set_num_threads(options.threads or available_cores())
    if device.type == "cpu":
        keep_freed_memory()
    encoder = load_encoder(options.encoder, options.encoder_weights)
    decoder = continued(options, read_weights(options.decoder)) if options.decoder else new_decoder(options)
    contents, styles = _pictures(content, style, options)
    run = Run(options, contents, styles, encoder, decoder, device, out, since)
    said = [contents.summary(), styles.summary()]
    said += [f"{part.folder}: too few pictures to validate with" for part in (contents, styles) if not part.val]
    if facts:
        if facts["encoder_sha256"] != encoder.sha256:
            raise TrainingError(f"{out}: was trained under another encoder file; give that as --encoder-weights")
        run.resume(tensors, facts)
        if facts["fingerprints"] != [contents.fingerprint, styles.fingerprint]:
            said.append("The pictures are not those it began with; it goes on with what is there now.")
    precision = "bfloat16" if run.trainer.half else "float32"
    bound = f"for {options.minutes:g} minutes" if options.minutes else f"to {options.steps}"
    said.append(f"{options.encoder} on {device} in {precision}, steps {run.step} {bound}, into {out}")
    return run, said


def _options(saved: dict[str, Any], asked: dict[str, str]) -> TrainingOptions:
    options, before = TrainingOptions.read(saved | asked), TrainingOptions.read(saved)
    for name in FIXED if saved else ():
        if getattr(options, name) != getattr(before, name):
            raise TrainingError(f"{flag(name)}: was {getattr(before, name)} when the run began; choose another --out")
    return options


def _pictures(content: Path, style: Path, options: TrainingOptions) -> tuple[Splits, Splits]:
    index = Index(options.cache or cache_folder())
    threads = 2 * available_cores()
    contents = split(content, index, options.val_share, options.test_share, threads)
    styles = split(style, index, options.val_share, options.test_share, threads)
    return contents, styles
