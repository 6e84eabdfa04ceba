"""The file of ranges beside a decoder's: what its convolutions and its encoder's were seen to read, for int8."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from app.network.quantisation import Range
from app.network.weights import WeightsError, WeightsFile, embedded_hash

SUFFIX: Final = ".ranges.safetensors"
PARTS: Final = ("encoder", "decoder")
# A truncated or foreign file is told by its size before it is read.
MOST_BYTES: Final = 2**24


class RangesError(WeightsError):
    """Ranges are missing or wrong; the message is one line that says what to run."""


@dataclass(frozen=True)
class Ranges:
    """Of the input of each convolution, in the order they run; the encoder's first is pixels in [0, 1]."""

    encoder: tuple[Range, ...]
    decoder: tuple[Range, ...]

    def encoded(self, encoder: WeightsFile, decoder: WeightsFile) -> bytes:
        """The file, which names the two weights files it is of by their hashes."""
        tensors = {
            f"{part}.{number}.{end}": getattr(seen, end).astype(np.float32)
            for part in PARTS
            for number, seen in enumerate(getattr(self, part))
            for end in ("low", "high")
        }
        return save(tensors, {"encoder_sha256": encoder.sha256, "decoder_sha256": decoder.sha256})


def ranges_path(decoder: Path) -> Path:
    """Where the ranges of a decoder's file lie: beside it, `decoder.ranges.safetensors` of `decoder.safetensors`."""
    return decoder.with_name(decoder.name.removesuffix(".safetensors") + SUFFIX)


def read_ranges(encoder: WeightsFile, decoder: WeightsFile) -> Ranges:
    """Read the ranges beside a decoder's file.

    Raises RangesError where there are none, or they are damaged, or of another encoder or decoder.
    """
    path = ranges_path(decoder.path)
    remedy = f"make them with: impasto weights quantize --decoder {decoder.path} --content PHOTOS --style PAINTINGS"
    try:
        with path.open("rb") as opened:
            data = opened.read(MOST_BYTES)
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except FileNotFoundError:
        raise RangesError(f"{decoder.path}: has no ranges for int8 beside it ({path.name}); {remedy}") from None
    except OSError as error:
        raise RangesError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RangesError(f"{path}: not a whole safetensors file ({error}); {remedy}") from None
    expected = embedded_hash(path)
    if expected and hashlib.sha256(data).hexdigest() != expected:
        raise RangesError(f"{path}: is not the file that came with the decoder; {remedy}")
    for part, file in zip(PARTS, (encoder, decoder), strict=True):
        if metadata.get(f"{part}_sha256") != file.sha256:
            raise RangesError(f"{path}: are the ranges of another {part} than {file.path}; {remedy}")
    found = {}
    for part, file in zip(PARTS, (encoder, decoder), strict=True):
        ranges = []
        for number, (channels, _) in enumerate(file.widths):
            low, high = (tensors.get(f"{part}.{number}.{end}") for end in ("low", "high"))
            if low is None or high is None or not low.shape == high.shape == (channels,):
                raise RangesError(f"{path}: expected {part}.{number}.low and .high of {channels} channels; {remedy}")
            if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
                raise RangesError(f"{path}: {part}.{number} has ranges that are not finite or upside down; {remedy}")
            ranges.append(Range(low.astype(np.float32), high.astype(np.float32)))
        found[part] = tuple(ranges)
    return Ranges(found["encoder"], found["decoder"])
