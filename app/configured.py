"""What the settings make, for the server and the command line alike: an engine, and the bounds of a picture."""

from app.engine.base import Engine
from app.engine.create import create_engine
from app.engine.tiles import Limits as Tiles
from app.pipeline import Limits
from app.settings import Settings
from app.video.frames import Limits as VideoLimits


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
    )


def picture_limits(settings: Settings) -> Limits:
    """The bounds a picture is held to, in pixels."""
    return Limits(settings.max_pixels, settings.max_size, settings.default_size)


def video_limits(settings: Settings) -> VideoLimits:
    """The most a video may have."""
    return VideoLimits(
        settings.max_video_bytes, settings.max_video_pixels, settings.max_video_frames, settings.max_video_seconds
    )
