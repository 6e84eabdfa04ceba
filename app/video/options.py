"""The controls of a video: those of a picture, and what only moving ones have."""

from typing import Final

from pydantic import Field, field_validator

from app.options import Controls
from app.video.formats import Format

NAMES: Final = {"matroska": "webm", "m4v": "mp4", "quicktime": "mp4", "mov": "mp4"}


class VideoOptions(Controls):
    """Everything about a stylised video but its files; validated as `app.options.Options` is."""

    format: Format | None = Field(
        None,
        description="mp4 (H.264), webm (VP9, with transparency), gif, or zip (a PNG for each frame, and their times). "
        "When absent: mp4, but webm of a WebM and of an animated WebP or PNG, and gif of a GIF.",
        examples=["mp4"],
    )
    steadiness: float = Field(
        0.7,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much of the frame before is carried on along its movement: 0 paints each frame alone, and "
        "flickers; 1 is the calmest.",
        examples=[0.7],
    )

    @field_validator("format", mode="before")
    @classmethod
    def _any_spelling_of_a_container(cls, value: object) -> object:
        """MP4, mov and video/mp4 are mp4."""
        if not isinstance(value, str):
            return value
        name = value.strip().lower()
        name = name.rpartition("/")[2].removeprefix("x-").removeprefix(".")
        return NAMES.get(name, name)
