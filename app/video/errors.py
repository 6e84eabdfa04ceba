"""What is wrong with a video, or with what was asked of it.

VideoError
├── UnreadableVideo: no video, none of the formats read, or nothing of it can be decoded
├── VideoTooLarge: over one of the limits
├── BadKeyframes: keyframes that cannot be followed
└── CannotBeWritten: the format asked for cannot hold it
"""

from typing import Final, Literal

Measure = Literal["bytes", "pixels", "frames", "seconds"]
SAID: Final = {
    "bytes": "The file has {found:,.0f} bytes and the limit is {limit:,.0f}: send a shorter or a smaller video.",
    "pixels": "A frame has {found:,.0f} pixels and the limit is {limit:,.0f}: send a video of a smaller size.",
    "frames": "The video has {found:,.0f} frames or more and the limit is {limit:,.0f}: send a shorter one.",
    "seconds": "The video takes {found:,.0f} seconds or more and the limit is {limit:,.0f}: send a shorter one.",
}


class VideoError(Exception):
    """A video that cannot be served; its text tells the user why and what to do."""


class UnreadableVideo(VideoError):
    """The bytes are no video of a format that is read, or nothing of it can be decoded."""


class VideoTooLarge(VideoError):
    """The video has `found` of a `measure` of which the limit is `limit`."""

    def __init__(self, measure: Measure, found: float, limit: float) -> None:
        super().__init__(SAID[measure].format(found=found, limit=limit))
        self.measure = measure
        self.found = found
        self.limit = limit


class BadKeyframes(VideoError):
    """Keyframes that cannot be followed; the text names the one."""


class CannotBeWritten(VideoError):
    """The format asked for cannot hold a video of this size."""
