"""Every knob of the service: its unit, its default, and the environment variable IMPASTO_* that turns it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.network.weights import DECODER, ENCODER
from app.origins import browser_origin

# What Kubernetes puts into every pod beside a Service called impasto, and Docker's links did: IMPASTO_PORT=tcp://10.0.0.1:80.
SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+")


class _Environment(EnvSettingsSource):
    """The environment without what Kubernetes put there under the same names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        foreign = isinstance(value, str) and SERVICE_ADDRESS.fullmatch(value)
        return None if foreign else value, key, is_complex


class Settings(BaseSettings):
    """Settings of the service, read from the environment; `impasto serve --help` lists them."""

    model_config = SettingsConfigDict(env_prefix="IMPASTO_", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for every interface")
    port: int = Field(8000, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe log line shown")
    root_path: str = Field(
        "", pattern=r"^(/[^/?#\s]+)*$", description="path under which a proxy shows the service, as /impasto"
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(browser_origin)], ...], NoDecode] = Field(
        (),
        description="origins whose pages may call the service, separated by commas; https://*.site.example for every "
        "subdomain, * for any",
    )

    page: bool = Field(True, description="whether / is the page to try it on; off serves none of it")
    styles_dir: Path | None = Field(
        None, description="folder of pictures that stand ready as styles, beside the shipped"
    )

    engine: Literal["auto", "ncnn", "torch"] = Field("auto", description="library that runs the network")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the network; 0 for every core")
    encoder_weights: Path = Field(ENCODER, description="safetensors file of the VGG encoder")
    decoder_weights: Path = Field(DECODER, description="safetensors file of the decoder")
    image_threads: int = Field(2, ge=1, le=256, description="threads that decode and encode pictures")

    max_file_bytes: int = Field(20_000_000, ge=1, description="largest uploaded file, in bytes")
    max_request_bytes: int = Field(100_000_000, ge=1, description="largest request body, in bytes")
    max_pixels: int = Field(50_000_000, ge=1, description="most pixels an uploaded picture may have")
    max_size: int = Field(4096, ge=1, description="longest side of a result, in pixels")
    default_size: int = Field(1024, ge=1, description="longest side of a result when none is asked for, in pixels")
    max_style_size: int = Field(1024, ge=16, description="longest side a style is read at, in pixels")

    max_video_bytes: int = Field(500_000_000, ge=1, description="largest video file, in bytes")
    max_video_pixels: int = Field(9_000_000, ge=1, description="most pixels a frame of a video may have")
    max_video_frames: int = Field(36_000, ge=1, description="most frames a video may have")
    max_video_seconds: float = Field(600.0, gt=0, description="longest a video may take, in seconds")

    request_timeout: float = Field(60.0, gt=0, le=3600, description="time a request may take in all, in seconds")
    upload_timeout: float = Field(30.0, gt=0, le=3600, description="time an upload may take, in seconds")
    queue_seconds: float = Field(
        30.0, gt=0, le=3600, description="longest a request may wait for the network, in estimated seconds"
    )
    max_requests: int = Field(128, ge=1, description="most /stylize requests held at once")
    batch_pixels: int = Field(
        262_144,
        ge=1,
        description="most pixels the network takes in one batch; a GPU gains from millions, a CPU nothing",
    )
    tile_size: int = Field(
        1024, ge=256, le=16384, description="pictures wider than this run in tiles as wide, in pixels; bounds memory"
    )
    feature_memory_bytes: int = Field(
        268_435_456,
        ge=0,
        description="memory for the features of one picture, in bytes; more waits in a temporary file",
    )
    stuck_seconds: float = Field(
        60.0,
        ge=1,
        le=86400,
        description="time after which a worker that does not move on is given up, and the process ends, in seconds",
    )
    style_cache_bytes: int = Field(64_000_000, ge=0, description="memory for styles the service remembers, in bytes")
    grace_seconds: float = Field(
        30.0, ge=0, le=3600, description="time to finish what is in flight on SIGTERM, in seconds"
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="time on SIGTERM to go on serving with /readyz red, until balancers have noticed, in seconds",
    )
    keep_alive_seconds: int = Field(
        75, ge=1, le=3600, description="time an idle connection is kept, longer than balancers keep theirs, in seconds"
    )
    address_file: Path | None = Field(
        None, description="file that the address served is written to, where `impasto health` looks for it"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    @field_validator("root_path", mode="before")
    @classmethod
    def _path(cls, value: object) -> object:
        """As operators write it: `/impasto/`, `impasto`, and `/` for none."""
        return f"/{value.strip('/')}".rstrip("/") if isinstance(value, str) else value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(origin.strip() for origin in value.split(",") if origin.strip())
        return value


def foreign_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that bear a setting's name and an address that Kubernetes put there; they set nothing."""
    names = {f"IMPASTO_{name.upper()}" for name in Settings.model_fields}
    return [name for name, value in environment.items() if name.upper() in names and SERVICE_ADDRESS.fullmatch(value)]


class WrongSettings(Exception):
    """Settings are out of range or of no sense; the message is one line that names each, for the operator."""


def read_settings(**given: str | None) -> Settings:
    """Settings from the environment, but for those given here and not None.

    Raises WrongSettings.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as invalid:
        faults = []
        for error in invalid.errors():
            name = str(error["loc"][0])
            faults.append(f"{name} (IMPASTO_{name.upper()}): {error['msg']}; found {error['input']!r}")
        raise WrongSettings("; ".join(faults)) from None
