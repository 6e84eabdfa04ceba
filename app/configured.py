"""What the settings make, for the server and the command line alike: an engine, and the bounds of a picture."""

from typing import Final

from app.engine.base import Engine
from app.engine.create import create_engine
from app.engine.tiles import Limits as Tiles
from app.images.processes import Processes
from app.pipeline import Limits
from app.settings import Settings
from app.video.frames import Limits as VideoLimits

# Of a pixel: RGB and alpha; and what a file of it takes at most, where it is noise.
BYTES_IN: Final = 4
BYTES_OUT: Final = 5
SPARE_BYTES: Final = 2**20


def configured_engine(settings: Settings, device: str | None = None) -> Engine:
    """The engine the settings name, on `device` where several are to run side by side.

    Raises EngineUnavailable, WeightsError.
    """
    return create_engine(
        settings.engine,
        device or settings.device,
        threads=settings.threads or None,
        encoder=settings.encoder_weights,
        decoder=settings.decoder_weights,
        limits=Tiles(tile_width=settings.tile_size, feature_memory=settings.feature_memory_bytes),
        precision=settings.precision,
    )


def picture_limits(settings: Settings) -> Limits:
    """The bounds a picture is held to, in pixels."""
    return Limits(settings.max_pixels, settings.max_size, settings.default_size)


def video_limits(settings: Settings) -> VideoLimits:
    """The most a video may have."""
    return VideoLimits(
        settings.max_video_bytes, settings.max_video_pixels, settings.max_video_frames, settings.max_video_seconds
    )


def configured_processes(settings: Settings) -> Processes | None:
    """The processes that read and write pictures, where there are to be any; each has room for the largest.

    Raises ProcessFailed or OSError.
    """
    if not settings.image_processes:
        return None
    side = max(settings.max_size, settings.max_style_size)
    room = max(settings.max_file_bytes, BYTES_IN * settings.max_pixels, BYTES_OUT * side**2) + SPARE_BYTES
    return Processes(settings.image_processes, room)
