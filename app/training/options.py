"""Everything a training run can be told: names, meanings, ranges and defaults, for the command and its checkpoints."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

WIDTHS: Final = "256,256/128,128/64,64/32"
CROPS: Final = "96:0.3,128:0.3,192:0.25,256:0.15"
BETAS: Final = {"soap": "0.95,0.98", "adam": "0.9,0.99"}


def _in(group: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": group}, **limits)


class TrainingOptions(BaseModel):
    """Options of `impasto train`. Losses' weights of 0 leave a loss out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    val_share: float = _in("Data", 0.05, "Part of each folder kept for validation, by hash.", ge=0, lt=1)
    test_share: float = _in("Data", 0.05, "Part kept for a final test, never read in training.", ge=0, lt=1)
    workers: int | None = _in("Data", None, "Processes that read and crop pictures; 0 for none. [half the cores]", ge=0)
    seed: int = _in("Data", 0, "Same seed, same pictures, same machine: same numbers.", ge=0)

    encoder: Literal["vgg16", "vgg19", "resnet50"] = _in(
        "Network", "vgg16", "vgg16 is embedded; vgg19 needs --encoder-weights; resnet50 is else fetched."
    )
    encoder_weights: Path | None = _in("Network", None, "The encoder's file, as `impasto weights import` writes it.")
    widths: str = _in(
        "Network",
        WIDTHS,
        "The decoder's channels after each convolution but the last (RGB); / where the size doubles, three times.",
    )
    decoder: Path | None = _in("Network", None, "A decoder to start from, its widths included. [random weights]")
    partial_adain: Literal["auto", "none", "doublings", "all"] = _in(
        "Network",
        "auto",
        "Where the decoder moves statistics towards the style's once more: before the size doubles, or after all "
        "layers. auto is as --decoder has it, and doublings without one.",
    )

    steps: int = _in("Schedule", 40_000, "Steps in all.", ge=1)
    batch: int = _in(
        "Schedule", 12, "Pictures a step at the first crop size; fewer, by area, at larger ones, down to four.", ge=1
    )
    crops: str = _in("Schedule", CROPS, "Sides of the crops in pixels, each with its part of the steps.")
    inversion_share: float = _in(
        "Schedule",
        0.1,
        "Part of the steps, before all others, that only teach to bring pictures back: quick ones, without a pass "
        "through the encoder. None are taken with --decoder.",
        ge=0,
        lt=1,
    )
    refresh: float = _in(
        "Schedule",
        0.25,
        "New crops encoded a step, as part of the batch; the others are drawn from those encoded before. 1 is plain.",
        gt=0,
        le=1,
    )
    pool: int = _in("Schedule", 256, "Encoded crops kept to draw from.", ge=1)
    optimizer: Literal["soap", "adam"] = _in(
        "Schedule", "soap", "soap is Adam in coordinates that follow the gradients (Vyas et al. 2024)."
    )
    betas: str | None = _in(
        "Schedule",
        None,
        "Decays of the optimizer's averages of gradients and of their squares, as 0.98,0.995. "
        f"[{BETAS['soap']} of soap, {BETAS['adam']} of adam]",
    )
    learning_rate: float = _in(
        "Schedule",
        6e-4,
        "The rate after warm-up; it falls to 3 % along a cosine. Less with a good --decoder: 1.5e-4.",
        gt=0,
    )
    warmup: int = _in("Schedule", 100, "Steps over which the rate rises.", ge=0)
    clip: float = _in("Schedule", 5.0, "Gradients of a larger norm are scaled down to it; 0 lets them be.", ge=0)
    revive_every: int = _in(
        "Schedule", 250, "Steps between looks for silent channels, which get new random weights; 0 for never.", ge=0
    )
    ema: float = _in("Schedule", 0.999, "Decay of the moving average of the weights.", ge=0, lt=1)

    content_weight: float = _in(
        "Losses", 1.0, "Weight of content: relu4_1 of the result against the AdaIN target.", ge=0
    )
    style_weight: float = _in("Losses", 10.0, "Weight of style: means and deviations at four taps.", ge=0)
    identity_weight: float = _in("Losses", 160.0, "Weight of identity: a picture in its own style comes back.", ge=0)
    identity_features_weight: float = _in(
        "Losses", 0.0, "Weight of the same at the four taps, which costs a pass through the encoder.", ge=0
    )
    identity_share: float = _in(
        "Losses", 0.25, "Part of a batch in its own style, up to --refresh and all but one.", ge=0, le=1
    )
    total_variation_weight: float = _in("Losses", 0.05, "Weight of total variation: less noise, less detail.", ge=0)
    grid_weight: float = _in("Losses", 5000.0, "Weight of what repeats every 8 pixels, as rows of dots do.", ge=0)
    range_weight: float = _in("Losses", 20.0, "Weight of what lies outside [0, 1].", ge=0)
    adversarial: Literal["none", "wgan-gp"] = _in(
        "Losses", "none", "A critic that tells results from styles (Gulrajani et al. 2017)."
    )
    adversarial_weight: float = _in("Losses", 0.05, "Weight of its opinion.", ge=0)

    device: str = _in("Running", "auto", "auto, cpu, cuda or cuda:N.", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    precision: Literal["auto", "float32", "bfloat16"] = _in(
        "Running", "auto", "auto computes in bfloat16 where the device does so natively."
    )
    threads: int = _in("Running", 0, "CPU threads of the network; 0 for every core.", ge=0, le=1024)
    log_every: int = _in("Running", 25, "Steps between points of the curves.", ge=1)
    validate_every: int = _in("Running", 500, "Steps between validations, each with a grid of pictures.", ge=1)
    save_every: int = _in("Running", 500, "Steps between checkpoints.", ge=1)

    @field_validator("widths")
    @classmethod
    def _widths_lead_to_rgb(cls, value: str) -> str:
        decoder_layout(value)
        return value

    @field_validator("betas")
    @classmethod
    def _betas_are_decays(cls, value: str | None) -> str | None:
        if value is not None:
            decays(value)
        return value

    @field_validator("crops")
    @classmethod
    def _crops_fit(cls, value: str) -> str:
        crop_shares(value)
        return value


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
    """'128:0.6,256:0.4' -> sides and their parts of the steps, as given.

    Raises ValueError for another notation, and for sides that are not multiples of 8 from 16 on.
    """
    try:
        pairs = [
            (int(side), float(share or 1)) for side, _, share in (part.partition(":") for part in crops.split(","))
        ]
    except ValueError:
        pairs = []
    if not pairs or any(side < 16 or side % 8 or not 0 < share < float("inf") for side, share in pairs):
        raise ValueError(f"expected sides, multiples of 8 from 16 on, with their parts of the steps, as in {CROPS}")
    return pairs
