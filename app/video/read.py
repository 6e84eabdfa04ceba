"""Video files to frames: which reader takes a file, and whether it is a video at all."""

from pathlib import Path
from typing import BinaryIO

from app.video.errors import UnreadableVideo
from app.video.frames import Limits, Video
from app.video.sniff import ANIMATIONS, HEAD, MOVIES, kind_of, kind_of_head


def open_video(path: Path, limits: Limits) -> Video:
    """A video whose header is sound and within the limits, as far as it tells.

    Raises UnreadableVideo, VideoTooLarge, OSError.
    """
    limits.check(bytes=path.stat().st_size)
    kind = kind_of(path)
    if kind in MOVIES:
        from app.video.movie import Movie

        return Movie(path, kind, limits)
    if kind in ANIMATIONS:
        from app.video.animation import Animation

        return Animation(path, kind, limits)
    raise UnreadableVideo("This is no video: send MP4, MOV, WebM, MKV, GIF, or an animated WebP or PNG.")


def is_video(path: Path) -> bool:
    """Whether a file is to be treated as a video: a movie, or a picture of more than one frame."""
    with path.open("rb") as file:
        return is_video_file(file)


def is_video_file(file: BinaryIO) -> bool:
    """The same of a file that is open, and left at its beginning."""
    file.seek(0)
    kind = kind_of_head(file.read(HEAD))
    file.seek(0)
    if kind not in ANIMATIONS:
        return kind in MOVIES
    from app.video.animation import is_animated

    animated = is_animated(file, kind)
    file.seek(0)
    return animated
