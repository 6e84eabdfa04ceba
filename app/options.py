"""The controls of one stylisation: what they mean, their ranges and defaults, for HTTP and the command line alike."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

MAX_STYLES: Final = 8

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Controls(BaseModel):
    """What a picture and a video have in common.

    Validate with a context of {"size": N, "style_size": N} to hold both to the limits of a service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(
        1.0,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="How much style: 0 is the photo as the decoder reconstructs it, 1 the style in full.",
        examples=[0.8],
    )
    weight: tuple[Weight, ...] = Field(
        (),
        max_length=MAX_STYLES,
        description="One number per style, at least 0, normalised to sum 1: how a blend is mixed. Equal when absent.",
        examples=[[2, 1]],
    )
    size: int | None = Field(
        None,
        ge=0,
        le=65_535,
        description="Long side of the result in pixels; 0 keeps the photo's own. "
        "When absent: the photo's own, reduced where it is very large.",
        examples=[1024],
    )
    style_size: int = Field(
        512,
        ge=16,
        le=65_535,
        description="Long side at which the style is read, in pixels: smaller gives larger, bolder strokes.",
        examples=[512],
    )
    preserve_color: Literal["none", "luminance", "match"] = Field(
        "none",
        description="luminance: the result's luminance with the photo's colours; "
        "match: the style is first recoloured to the photo's colour statistics.",
        examples=["luminance"],
    )
    quality: int = Field(
        90,
        ge=1,
        le=100,
        description="Quality of a JPEG or WebP file, or of a video, 1 to 100; PNG is lossless.",
        examples=[90],
    )

    @model_validator(mode="before")
    @classmethod
    def _default_within_limits(cls, values: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        default, limit = cls.model_fields["style_size"].default, (info.context or {}).get("style_size")
        return values if limit is None else {"style_size": min(default, limit), **values}

    @field_validator("preserve_color", mode="before")
    @classmethod
    def _any_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("size", "style_size")
    @classmethod
    def _within_limits(cls, value: int | None, info: ValidationInfo) -> int | None:
        limit = (info.context or {}).get(info.field_name)
        if value is not None and limit is not None and value > limit:
            raise PydanticCustomError("less_than_equal", "Input should be less than or equal to {le}", {"le": limit})
        return value

    @field_validator("weight")
    @classmethod
    def _some_weight(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if value and not any(value):
            raise PydanticCustomError("all_zero", "At least one must be greater than {gt}", {"gt": 0})
        return value


class Options(Controls):
    """Everything about a stylised picture but its files."""

    format: Literal["jpeg", "png", "webp"] | None = Field(
        None,
        description="File format of the result. When absent: what Accept asks for, else the photo's own, else jpeg.",
        examples=["png"],
    )

    @field_validator("format", mode="before")
    @classmethod
    def _any_spelling(cls, value: object) -> object:
        """JPEG, jpg and image/jpeg are jpeg."""
        if not isinstance(value, str):
            return value
        name = value.strip().lower().removeprefix("image/")
        return "jpeg" if name == "jpg" else name
