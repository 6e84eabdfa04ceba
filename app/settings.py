"""Every knob of the service: its unit, its default, and the environment variable IMPASTO_* that turns it."""

import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.access.addresses import network
from app.network.weights import DECODER, ENCODER
from app.origins import browser_origin
from app.signatures import signing_key

# What Kubernetes puts into every pod beside a Service called impasto, and Docker's links did: IMPASTO_PORT=tcp://10.0.0.1:80.
POSTGRES: Final = re.compile(r"postgres(ql)?://\S+")
NEEDED_FOR_POSTGRES: Final = ("procrastinate", "psycopg", "psycopg_pool")  # what the extra `postgres` brings
SECRETS: Final = ("callback_secret", "job_store")  # never shown
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
    log_format: Literal["text", "json"] = Field("text", description="a log line as text for people, or a JSON object")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/?#]+(/[^\s?#]*)?)?$",
        description="OpenTelemetry collector that traces are sent to by OTLP over HTTP, as http://collector:4318",
    )
    root_path: str = Field(
        "", pattern=r"^(/[^/?#\s]+)*$", description="path under which a proxy shows the service, as /impasto"
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(browser_origin)], ...], NoDecode] = Field(
        (),
        description="origins whose pages may call the service, separated by commas; https://*.site.example for every "
        "subdomain, * for any",
    )

    api_keys_file: Path | None = Field(
        None, description="file of keys, as `impasto keys add` writes it; without one the service is open to everybody"
    )
    open_to_all: Annotated[tuple[Literal["docs", "metrics", "page"], ...], NoDecode] = Field(
        ("docs", "page"),
        description="what needs no key where there are keys, separated by commas: docs, metrics, page",
    )
    requests_per_minute: int = Field(
        0, ge=0, description="most requests a minute of a key that has no limit of its own, or of an address; 0: any"
    )
    megapixels_per_minute: float = Field(
        0.0, ge=0, le=1e9, description="most megapixels of results a minute, likewise; 0: any"
    )
    trusted_proxies: Annotated[tuple[Annotated[str, AfterValidator(network)], ...], NoDecode] = Field(
        (),
        description="addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto count, separated by "
        "commas",
    )
    client_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="most of max_requests that may be one key's, and of max_jobs one client's, as a part of 1",
    )

    page: bool = Field(True, description="whether / is the page to try it on; off serves none of it")
    styles_dir: Path | None = Field(
        None, description="folder of pictures that stand ready as styles, beside the shipped"
    )

    engine: Literal["auto", "ncnn", "openvino", "torch"] = Field("auto", description="library that runs the network")
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="numbers the network computes in; auto takes int8 where the processor multiplies it and the "
        "decoder has ranges",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the network; 0 for every core")
    encoder_weights: Path = Field(ENCODER, description="safetensors file of the VGG encoder")
    decoder_weights: Path = Field(DECODER, description="safetensors file of the decoder")
    image_threads: int = Field(2, ge=1, le=256, description="threads that decode and encode pictures")
    image_processes: int = Field(
        0,
        ge=0,
        le=256,
        description="processes that decode and encode pictures in the threads' place, on Linux; a GPU gains from one "
        "a core, 0 for none",
    )

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
    max_uploads: int = Field(
        1024, ge=1, description="most uploads that come in at once; where there are more, the slowest is given up"
    )
    upload_share: float = Field(0.25, gt=0, le=1, description="most of these that may be one client's, as a part of 1")
    min_upload_rate: float = Field(2048.0, ge=1, description="least an upload may come at, in bytes a second")
    upload_grace: float = Field(
        5.0, gt=0, le=3600, description="time an upload may pause or stay behind that rate, in seconds"
    )
    queue_seconds: float = Field(
        30.0, gt=0, le=3600, description="longest a request may wait for the network, in estimated seconds"
    )
    max_requests: int = Field(128, ge=1, description="most /stylize requests worked on at once")
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
    result_cache_bytes: int = Field(
        0, ge=0, description="memory for results, from which equal requests are answered, in bytes; 0 keeps none"
    )
    style_store: str = Field(
        "",
        pattern=r"^((rediss?|valkeys?|unix)://\S+)?$",
        description="Redis or Valkey in which replicas share styles and count limits together, as redis://HOST:6379/0",
    )
    style_store_seconds: int = Field(
        2_592_000, ge=60, description="time after which the store forgets a style that nobody uses, in seconds"
    )
    data_dir: Path | None = Field(
        None,
        description="folder that jobs are kept in, of this process alone unless there is a job store; "
        "~/.local/share/impasto when none is named",
    )
    job_store: SecretStr | None = Field(
        None,
        description="Postgres in which replicas share jobs, as postgresql://USER:PASSWORD@HOST:5432/DATABASE; their "
        "files are in the data folder, which has to be the same for all",
    )
    job_lost_seconds: float = Field(
        30.0,
        ge=3,
        le=3600,
        description="time after which a replica that shows no sign of life has lost its jobs to the others, in seconds",
    )
    jobs_at_once: int = Field(2, ge=1, le=64, description="jobs that run side by side")
    max_jobs: int = Field(100, ge=1, description="most jobs that wait or run")
    max_job_photos: int = Field(200, ge=1, le=10_000, description="most photos in one job, in an archive too")
    max_job_size: int = Field(8192, ge=1, description="longest side of a job's result, in pixels")
    max_job_file_bytes: int = Field(500_000_000, ge=1, description="largest file of a job, in an archive too, in bytes")
    max_job_request_bytes: int = Field(
        1_000_000_000,
        ge=1,
        description="largest request body of a job, an archive in it unpacked too, in bytes",
    )
    job_upload_timeout: float = Field(600.0, gt=0, le=86400, description="time a job's upload may take, in seconds")
    job_attempts: int = Field(
        5, ge=1, description="how often a job is begun that gets no further, as where it ends the process each time"
    )
    jobs_keep_seconds: float = Field(86400.0, ge=0, description="time a job is kept once it has ended, in seconds")
    jobs_keep_bytes: int = Field(
        10_000_000_000, ge=1, description="most that all jobs hold on disk, in bytes; those that ended first go first"
    )
    max_listeners: int = Field(256, ge=1, description="most connections that listen to jobs' events at once")
    callback_secret: SecretStr | None = Field(
        None, description="key that callbacks are signed with: whsec_ and base64 of 24 to 64 bytes"
    )
    callback_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="hosts that may be told of a job's end, separated by commas, each as host or host:port; needs a "
        "callback secret",
    )
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

    @field_validator("image_processes")
    @classmethod
    def _possible(cls, value: int) -> int:
        if value and not hasattr(os, "memfd_create"):
            raise ValueError("there can be processes for pictures on Linux only; set 0, and image_threads")
        return value

    @field_validator("cors_origins", "open_to_all", "trusted_proxies", "callback_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("callback_secret")
    @classmethod
    def _signs(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            signing_key(value.get_secret_value())
        return value

    @field_validator("job_store")
    @classmethod
    def _shared(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not POSTGRES.fullmatch(value.get_secret_value()):
            raise ValueError("expected an address as postgresql://USER:PASSWORD@HOST:5432/DATABASE")
        if value is not None and not all(find_spec(package) for package in NEEDED_FOR_POSTGRES):
            raise ValueError("needs what the extra brings: pip install 'impasto[postgres]'")
        return value

    @field_validator("callback_hosts")
    @classmethod
    def _signed(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("callback_secret") is None:
            raise ValueError("callbacks are signed: set IMPASTO_CALLBACK_SECRET too")
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
            found = "a secret" if name in SECRETS else repr(error["input"])
            faults.append(f"{name} (IMPASTO_{name.upper()}): {error['msg']}; found {found}")
        raise WrongSettings("; ".join(faults)) from None
