"""How large a GIF's frames are, before Pillow takes memory for them.

A frame may reach beyond the canvas that the header tells of; Pillow then makes the canvas as large as that. What is to
be laid on a frame's place afterwards it makes as soon as it has read the frame's header, when the file is opened too.
"""

from collections.abc import Iterator
from struct import error, unpack
from typing import BinaryIO, Final

PALETTE: Final = 0x80  # the flag that one follows
TRAILER: Final = b";"
COMMENT: Final = b"\xfe"
APPLICATION: Final = b"\xff"
LOOP: Final = b"NETSCAPE2.0"


def canvases(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Width and height of the canvas at each frame, as far as the file is whole; it is read from where it stands.

    It is read as Pillow reads it, in what is no GIF by the book too: else a frame could be hidden from one of both.
    """
    try:
        width, height, flags = unpack("<HHBxx", file.read(13)[6:])
        _skip_palette(file, flags)
        first = True
        while (kind := file.read(1)) not in (b"", TRAILER):
            if kind == b"!":
                _skip_extension(file, first)
            elif kind == b",":
                left, top, wide, high, flags = unpack("<HHHHB", file.read(9))
                width, height = max(width, left + wide), max(height, top + high)
                yield width, height
                first = False
                _skip_palette(file, flags)
                file.seek(1, 1)
                _skip_blocks(file)
    except error:
        return


def _skip_palette(file: BinaryIO, flags: int) -> None:
    if flags & PALETTE:
        file.seek(3 << (flags & 7) + 1, 1)


def _skip_extension(file: BinaryIO, first: bool) -> None:
    label, block = file.read(1), _block(file)
    if label == COMMENT and not block:
        return
    if label == APPLICATION and first and block.startswith(LOOP):
        _block(file)
    _skip_blocks(file)


def _skip_blocks(file: BinaryIO) -> None:
    while _block(file):
        pass


def _block(file: BinaryIO) -> bytes:
    length = file.read(1)
    return file.read(length[0]) if length else b""
