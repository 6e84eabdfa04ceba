"""What replicas share of styles: a protocol for stores, and how pictures and codes are written in one."""

import hashlib
from typing import Final, Protocol

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from app.network.blend import ChannelStatistics, StyleCode

# The first byte of a value.
VERSION: Final = b"\x01"
PICTURE: Final = "picture"


class StoreDown(Exception):
    """The store does not answer, or is left alone for a while because it did not."""


class StyleStore(Protocol):
    """Values by a style's name and a part of it, its picture or a code. Calls block for as long as its time-outs.

    Each raises StoreDown.
    """

    def get(self, name: str, part: str) -> bytes | None:
        """The value of a part."""

    def parts(self, name: str) -> list[str]:
        """The parts there are of a style."""

    def put(self, name: str, part: str, value: bytes) -> None:
        """Keep a part for as long as the store keeps a style that nobody uses."""

    def drop(self, name: str, part: str) -> None:
        """Take a part away."""

    def forget(self, name: str) -> None:
        """Take a style away, and tell every replica to."""


class Malformed(Exception):
    """A value that the service did not write so."""


def code_part(weights: str, size: int) -> str:
    """The part that is a code at a size, in pixels, by the networks of these weights."""
    return f"code:{weights}:{size}"


def sizes_of(parts: list[str], weights: str) -> list[int]:
    """The sizes, in pixels, of the codes among a style's parts."""
    start = code_part(weights, 0)[:-1]
    texts = [part.removeprefix(start) for part in parts if part.startswith(start)]
    return sorted(int(text) for text in texts if text.isdigit())


def pack_picture(data: bytes) -> bytes:
    """A picture's file as a value."""
    return VERSION + data


def unpack_picture(value: bytes, name: str) -> bytes:
    """A value as the picture's file of that name. Raises Malformed."""
    data = value[1:]
    if value[:1] != VERSION or hashlib.sha256(data).hexdigest()[: len(name)] != name:
        raise Malformed("not the picture of this name")
    return data


def pack_code(code: StyleCode) -> bytes:
    """A code as a value: safetensors, the statistics of each layer as float32 (2, C)."""
    layers = (code.relu4_1, *code.decoded)
    return VERSION + save({f"{n:04}": np.stack((part.mean, part.std)) for n, part in enumerate(layers)})


def unpack_code(value: bytes) -> StyleCode:
    """A value as a code. Raises Malformed."""
    if value[:1] != VERSION:
        raise Malformed("of another version")
    try:
        tensors = load(value[1:])
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise Malformed(f"not safetensors: {error}") from None
    layers = []
    for name in sorted(tensors):
        tensor = tensors[name]
        if tensor.dtype != np.float32 or tensor.ndim != 2 or len(tensor) != 2 or not np.isfinite(tensor).all():
            raise Malformed(f"{name} is {tensor.dtype} {tensor.shape}; expected finite float32 (2, C)")
        layers.append(ChannelStatistics(tensor[0], tensor[1]))
    if not layers:
        raise Malformed("no layers")
    return StyleCode(layers[0], tuple(layers[1:]))
