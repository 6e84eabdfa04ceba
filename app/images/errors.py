"""What can be wrong with a picture file. One tree, so that a caller maps each to an answer once.

ImageError          what `decode` and `encode` raise for a file or a request they cannot serve
  UnreadableImage   the bytes: empty, not a picture, an unsupported format, damaged, truncated, or built to harm
  UnclearMask       what it shows: a sound picture, but as a mask it would do next to nothing
  TooManyPixels     the header: a sound picture, for all we know, but larger than the limit

`str(error)` is written for the person who sent the file: what is wrong and what to do about it.
"""


class ImageError(Exception):
    """A picture that cannot be served; its text tells the user why."""


class UnreadableImage(ImageError):
    """The bytes are no picture of a supported format, or a damaged one."""


class UnclearMask(ImageError):
    """A mask whose brightest level, of 255, is `brightest`: not black, and far from white."""

    def __init__(self, brightest: int) -> None:
        self.brightest = brightest
        super().__init__(
            f"The mask's brightest level is {brightest} of 255, and its style would hardly act: send a grey picture, "
            "white (255) where the style acts and black (0) where it does not."
        )

    def __reduce__(self) -> tuple[type["UnclearMask"], tuple[int]]:
        return type(self), (self.brightest,)


class TooManyPixels(ImageError):
    """The header promises `width` x `height` pixels, more than `limit`; no pixel was decoded."""

    def __init__(self, width: int, height: int, limit: int) -> None:
        self.width = width
        self.height = height
        self.limit = limit
        super().__init__(
            f"The picture has {width} x {height} pixels and the limit is {limit / 1e6:g} million: send a smaller one."
        )

    def __reduce__(self) -> tuple[type["TooManyPixels"], tuple[int, int, int]]:
        return type(self), (self.width, self.height, self.limit)
