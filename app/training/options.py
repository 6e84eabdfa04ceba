"""Everything a training run can be told: names, meanings, ranges and defaults, for the command and its checkpoints."""

# ruff: noqa: RUF009 (`_in` is `field`)

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, Self

import click

from app.training.errors import TrainingError

WIDTHS: Final = "256,256/128,128/64,64/32"
CROPS: Final = "96:0.3,128:0.3,192:0.25,256:0.15"
BETAS: Final = {"soap": "0.95,0.98", "adam": "0.9,0.99"}


class Number(click.FloatRange):
    """A number that is one, within a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


class Notation(click.ParamType):  # type: ignore[type-arg]
    """Text that a function can read: it raises ValueError for another notation."""

    name = "text"

    def __init__(self, read: Callable[[str], object]) -> None:
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            self._read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def _in(group: str, type: Any, default: Any, description: str) -> Any:
    return field(default=default, metadata={"group": group, "type": type, "help": description})


def decoder_layout(widths: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """'256,256/128,128/64,64/32' -> outputs of every convolution, RGB last, and those the size doubles after.

    Raises ValueError for another notation.
    """
    try:
        stages = [[int(width) for width in stage.split(",") if width.strip()] for stage in widths.split("/")]
    except ValueError:
        stages = []
    if len(stages) != 4 or not all(stages[:3]) or min(width for stage in stages for width in stage) < 1:
        raise ValueError(f"expected four stages of channels with / between them, as in {WIDTHS}")
    outputs = tuple(width for stage in stages for width in stage)
    ends = (sum(map(len, stages[: count + 1])) - 1 for count in range(3))
    return (*outputs, 3), tuple(ends)


def decays(betas: str) -> tuple[float, float]:
    """'0.98,0.995' -> the two numbers. Raises ValueError for another notation, and outside [0, 1)."""
    try:
        first, second = map(float, betas.split(","))
    except ValueError:
        first = second = -1.0
    if not (0 <= first < 1 and 0 <= second < 1):
        raise ValueError("expected two decays from 0 to below 1, as in 0.95,0.98")
    return first, second


def crop_shares(crops: str) -> list[tuple[int, float]]:
    """'128:0.6,256:0.4' -> sides and their parts of the run, as given.

    Raises ValueError for another notation, and for sides that are not multiples of 8 from 16 on.
    """
    try:
        pairs = [
            (int(side), float(share or 1)) for side, _, share in (part.partition(":") for part in crops.split(","))
        ]
    except ValueError:
        pairs = []
    if not pairs or any(side < 16 or side % 8 or not 0 < share < float("inf") for side, share in pairs):
        raise ValueError(f"expected sides, multiples of 8 from 16 on, with their parts of the run, as in {CROPS}")
    return pairs


def device_name(name: str) -> str:
    """auto, cpu, cuda or cuda:N. Raises ValueError for another."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise ValueError("expected auto, cpu, cuda or cuda:N")
    return name


COUNT: Final = click.IntRange(min=0)
AT_LEAST_ONE: Final = click.IntRange(min=1)
AMOUNT: Final = Number(min=0)
PART: Final = Number(min=0, max=1, max_open=True)
FILE: Final = click.Path(path_type=Path)


@dataclass(frozen=True)
class TrainingOptions:
    """Options of `impasto train`. Losses' weights of 0 leave a loss out."""

    val_share: float = _in("Data", PART, 0.05, "Part of each folder kept for validation, by hash.")
    test_share: float = _in("Data", PART, 0.05, "Part kept for a final test, never read in training.")
    workers: int = _in("Data", COUNT, 0, "Threads that read pictures; 0 for one a core.")
    picture_memory: int | None = _in(
        "Data",
        AT_LEAST_ONE,
        None,
        "Bytes of the device's memory for decoded pictures; others come in turn. [2 GiB, or a quarter of a GPU's]",
    )
    cache: Path | None = _in(
        "Data", FILE, None, "Folder for what is known of pictures, which all runs share. [$XDG_CACHE_HOME/impasto]"
    )
    drawn: float = _in(
        "Data",
        Number(min=0, max=1),
        0.0,
        "Part of the styles that are drawn by program: flat colours, gradients, flags, line drawings, textures of one "
        "hue.",
    )
    seed: int = _in("Data", COUNT, 0, "Same seed, same pictures, same machine: same numbers.")

    encoder: Literal["vgg16", "vgg19", "resnet50"] = _in(
        "Network",
        click.Choice(["vgg16", "vgg19", "resnet50"]),
        "vgg16",
        "vgg16 is embedded; vgg19 needs --encoder-weights; resnet50 is else fetched.",
    )
    encoder_weights: Path | None = _in(
        "Network", FILE, None, "The encoder's file, as `impasto weights import` writes it."
    )
    widths: str = _in(
        "Network",
        Notation(decoder_layout),
        WIDTHS,
        "The decoder's channels after each convolution but the last (RGB); / where the size doubles, three times.",
    )
    decoder: Path | None = _in("Network", FILE, None, "A decoder to start from, its widths included. [random weights]")
    partial_adain: Literal["auto", "none", "doublings", "all"] = _in(
        "Network",
        click.Choice(["auto", "none", "doublings", "all"]),
        "auto",
        "Where the decoder moves statistics towards the style's once more: before the size doubles, or after all "
        "layers. auto is as --decoder has it, and doublings without one.",
    )

    adain_gain: float | None = _in(
        "Network",
        AMOUNT,
        None,
        "How many times AdaIN may enlarge a channel's deviation, which softens the stripes of smooth skies: 12 costs "
        "nothing. 0 for any. [as --decoder has it, any without one]",
    )

    steps: int = _in("Schedule", AT_LEAST_ONE, 40_000, "Steps in all.")
    minutes: float | None = _in(
        "Schedule",
        Number(min=0, min_open=True),
        None,
        "Minutes in all, in place of --steps: from the command's start to its end, the schedule fitted to them.",
    )
    batch: int = _in(
        "Schedule",
        AT_LEAST_ONE,
        12,
        "Pictures a step at the first crop size; fewer, by area, at larger ones, down to four.",
    )
    crops: str = _in(
        "Schedule", Notation(crop_shares), CROPS, "Sides of the crops in pixels, each with its part of the steps."
    )
    inversion_share: float = _in(
        "Schedule",
        PART,
        0.1,
        "Part of the steps, before all others, that only teach to bring pictures back: quick ones, without a pass "
        "through the encoder. None are taken with --decoder.",
    )
    refresh: float = _in(
        "Schedule",
        Number(min=0, max=1, min_open=True),
        0.25,
        "New crops encoded a step, as part of the batch; the others are drawn from those encoded before. 1 is plain.",
    )
    pool: int = _in("Schedule", AT_LEAST_ONE, 256, "Encoded crops kept to draw from.")
    optimizer: Literal["soap", "adam"] = _in(
        "Schedule",
        click.Choice(["soap", "adam"]),
        "soap",
        "soap is Adam in coordinates that follow the gradients (Vyas et al. 2024).",
    )
    betas: str | None = _in(
        "Schedule",
        Notation(decays),
        None,
        "Decays of the optimizer's averages of gradients and of their squares, as 0.98,0.995. "
        f"[{BETAS['soap']} of soap, {BETAS['adam']} of adam]",
    )
    learning_rate: float = _in(
        "Schedule",
        Number(min=0, min_open=True),
        6e-4,
        "The rate after warm-up; it falls to 3 % along a cosine. Less with a good --decoder: 1.5e-4.",
    )
    warmup: int = _in("Schedule", COUNT, 100, "Steps over which the rate rises.")
    clip: float = _in("Schedule", AMOUNT, 5.0, "Gradients of a larger norm are scaled down to it; 0 lets them be.")
    revive_every: int = _in(
        "Schedule", COUNT, 250, "Steps between looks for silent channels, which get new random weights; 0 for never."
    )
    ema: float = _in("Schedule", PART, 0.999, "Decay of the moving average of the weights.")

    content_weight: float = _in(
        "Losses", AMOUNT, 1.0, "Weight of content: relu4_1 of the result against the AdaIN target."
    )
    style_weight: float = _in("Losses", AMOUNT, 10.0, "Weight of style: means and deviations at four taps.")
    identity_weight: float = _in("Losses", AMOUNT, 160.0, "Weight of identity: a picture in its own style comes back.")
    identity_features_weight: float = _in(
        "Losses", AMOUNT, 0.0, "Weight of the same at the four taps, which costs a pass through the encoder."
    )
    identity_share: float = _in(
        "Losses",
        Number(min=0, max=1),
        0.25,
        "Part of a batch in its own style, up to --refresh and all but one.",
    )
    plain_weight: float = _in(
        "Losses", AMOUNT, 0.0, "Weight of flat colours: tiny pictures of one colour come back, at next to no cost."
    )
    colour_weight: float = _in(
        "Losses", AMOUNT, 0.0, "Weight of colours: means and deviations of R, G, B and of their differences."
    )
    total_variation_weight: float = _in("Losses", AMOUNT, 0.05, "Weight of total variation: less noise, less detail.")
    grid_weight: float = _in("Losses", AMOUNT, 5000.0, "Weight of what repeats every 8 pixels, as rows of dots do.")
    range_weight: float = _in("Losses", AMOUNT, 20.0, "Weight of what lies outside [0, 1].")
    adversarial: Literal["none", "wgan-gp"] = _in(
        "Losses",
        click.Choice(["none", "wgan-gp"]),
        "none",
        "A critic that tells results from styles (Gulrajani et al. 2017).",
    )
    adversarial_weight: float = _in("Losses", AMOUNT, 0.05, "Weight of its opinion.")

    device: str = _in("Running", Notation(device_name), "auto", "auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16"] = _in(
        "Running",
        click.Choice(["auto", "float32", "bfloat16"]),
        "auto",
        "auto computes in bfloat16 where the device does so natively.",
    )
    launch: Literal["plain", "recorded", "compiled"] = _in(
        "Running",
        click.Choice(["plain", "recorded", "compiled"]),
        "recorded",
        "How a GPU is told of a step: kernel by kernel, as one CUDA graph, or as one of what torch's compiler made of "
        "it, which takes a minute or so for each size of crops.",
    )
    threads: int = _in("Running", click.IntRange(0, 1024), 0, "CPU threads of the network; 0 for every core.")
    log_every: int = _in("Running", AT_LEAST_ONE, 25, "Steps between points of the curves.")
    validate_every: int = _in("Running", AT_LEAST_ONE, 500, "Steps between validations, each with a grid of pictures.")
    save_every: int = _in("Running", AT_LEAST_ONE, 500, "Steps between checkpoints.")

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Options by name, of the command line's text or of a checkpoint's JSON; the rest as by default.

        Raises TrainingError, which names each that is wrong.
        """
        known = {entry.name: entry for entry in fields(cls)}
        values: dict[str, Any] = {}
        faults = [f"{flag(name)}: is not known" for name in given if name not in known]
        for name, value in given.items():
            if name in known and value is not None:
                try:
                    values[name] = known[name].metadata["type"].convert(value, None, None)
                except click.BadParameter as fault:
                    faults.append(f"{flag(name)}: {fault.message.rstrip('.')}; found {value!r}")
        if faults:
            raise TrainingError("; ".join(faults))
        return cls(**values)

    def but(self, **changes: Any) -> Self:
        """The same with some options changed."""
        return replace(self, **changes)

    def json(self) -> dict[str, Any]:
        """What `read` takes, as JSON can hold it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


def flag(name: str) -> str:
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"
