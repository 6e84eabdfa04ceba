"""Weight files: safetensors in, arrays out, after every check that keeps a wrong file from being served.

Knows nothing of torch, so that whatever carries the network can read the same two files.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from importlib.resources import files
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

logger = logging.getLogger("impasto.weights")

EMBEDDED = Path(str(files("models")))
ENCODER = EMBEDDED / "vgg16-relu4_1.safetensors"
DECODER = EMBEDDED / "decoder.safetensors"
HASHES = EMBEDDED / "SHA256SUMS"


class WeightsError(Exception):
    """A weights file is missing, damaged or not what was expected; the message is one line for the operator."""


@dataclass(frozen=True)
class Convolution:
    """One 3x3 convolution: `weight` float32 (out, in, 3, 3), `bias` float32 (out,)."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class WeightsFile:
    """The convolutions of one file, in the order they run, and the file's own text metadata.

    `adain` has the matrices, float32 (2 out, 2 out), of the partial AdaIN that follows some of them, by their index.
    """

    path: Path
    sha256: str
    convolutions: tuple[Convolution, ...]
    metadata: dict[str, str]
    adain: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """(in, out) channels of each convolution."""
        return tuple((c.weight.shape[1], c.weight.shape[0]) for c in self.convolutions)

    @property
    def upsample_after(self) -> tuple[int, ...]:
        """Indices of the convolutions a decoder doubles the size after, as its metadata says."""
        text = self.metadata.get("upsample_after", "")
        try:
            return tuple(int(index) for index in text.split(","))
        except ValueError:
            raise WeightsError(
                f"{self.path}: metadata 'upsample_after' is {text!r}; expected indices of convolutions, as in '1,3,5'"
            ) from None

    @property
    def adain_gain(self) -> float | None:
        """How many times AdaIN may enlarge a channel's deviation for this decoder, as its metadata says; None: any."""
        text = self.metadata.get("adain_gain")
        if text is None:
            return None
        try:
            gain = float(text)
        except ValueError:
            gain = 0.0
        if not 0 < gain < inf:
            raise WeightsError(f"{self.path}: metadata 'adain_gain' is {text!r}; expected a number above 0, as in '12'")
        return gain


def read_weights(path: Path, sha256: str | None = None) -> WeightsFile:
    """Read one file of 3x3 convolutions named `convs.N.weight` and `convs.N.bias`.

    After any but the last there may be partial AdaIN, `adain.N.weight`.

    `sha256` is the hash the bytes must have; without it, a file that models/SHA256SUMS names must have the one
    given there, and a file of the user's own is taken as it is. float16 tensors are widened to float32.

    Raises WeightsError, whose message names the file and what was expected.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); expected a safetensors file") from None
    digest = hashlib.sha256(data).hexdigest()
    expected = sha256 or embedded_hash(path)
    if expected and digest != expected:
        raise WeightsError(
            f"{path}: SHA-256 is {digest[:16]}… of {len(data)} bytes, expected {expected[:16]}…; "
            "the file is truncated or another one"
        )
    try:
        tensors = load(data)
        # From the bytes that were hashed, which the library's own reader of metadata would open anew.
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__", {})
    except KeyError as error:
        # What numpy has no type for, as bfloat16.
        raise WeightsError(f"{path}: has tensors of type {error.args[0]}; expected float32 or float16") from None
    except (SafetensorError, json.JSONDecodeError, TypeError) as error:
        raise WeightsError(f"{path}: not a whole safetensors file ({error})") from None
    inner = {name: tensors.pop(name) for name in list(tensors) if name.startswith("adain.")}
    convolutions = _convolutions(path, tensors)
    return WeightsFile(path, digest, convolutions, metadata, _adain(path, inner, convolutions))


def read_networks(encoder: Path, decoder: Path) -> tuple[WeightsFile, WeightsFile]:
    """Read both files.

    Raises WeightsError as `read_weights` does, and where the decoder learned from another encoder.
    """
    encoding, decoding = read_weights(encoder), read_weights(decoder)
    require_encoder(decoding, encoding.sha256, encoding.metadata.get("name"), str(encoder))
    return encoding, decoding


def require_encoder(decoder: WeightsFile, sha256: str, name: str | None, found: str) -> None:
    """Raise WeightsError unless a decoder learned from the encoder with this hash, or of this name.

    Features of one mean nothing to a decoder that learned from another. The decoder's metadata has the hash
    (`encoder_sha256`), or of a public one only the encoder's name (`encoder`); `found` is what the message calls it.
    """
    wanted, by_name = decoder.metadata.get("encoder_sha256"), decoder.metadata.get("encoder")
    if wanted is None and by_name is None:
        logger.warning("%s does not say which encoder it learned from: if it paints noise, not from this", decoder.path)
    elif wanted is not None and wanted != sha256:
        raise WeightsError(
            f"{decoder.path}: was trained under the encoder file with SHA-256 {wanted[:16]}…, not under {found} "
            f"({sha256[:16]}…); give that one as the encoder's weights"
        )
    elif wanted is None and by_name != name:
        raise WeightsError(
            f"{decoder.path}: learned from {by_name}, not from {found}; make that encoder's file of the checkpoint it "
            "came with (`impasto weights import --vgg`), and give it as the encoder's weights (IMPASTO_ENCODER_WEIGHTS)"
        )


def embedded_hash(path: Path) -> str | None:
    """What models/SHA256SUMS says of a file of that folder; None of any other."""
    if path.resolve().parent != EMBEDDED.resolve():
        return None
    for line in HASHES.read_text().splitlines():
        digest, name = line.split()
        if name == path.name:
            return digest
    return None


def _convolutions(path: Path, tensors: dict[str, NDArray[np.generic]]) -> tuple[Convolution, ...]:
    count = sum(name.endswith(".weight") for name in tensors)
    expected = {f"convs.{n}.{part}" for n in range(count) for part in ("weight", "bias")}
    if not count or set(tensors) != expected:
        odd = sorted(set(tensors) ^ expected)[:4]
        raise WeightsError(f"{path}: expected tensors convs.N.weight and convs.N.bias from N = 0 on; see {odd}")
    convolutions = []
    previous = None
    for n in range(count):
        weight, bias = tensors[f"convs.{n}.weight"], tensors[f"convs.{n}.bias"]
        if weight.ndim != 4 or weight.shape[2:] != (3, 3) or bias.shape != weight.shape[:1]:
            raise WeightsError(
                f"{path}: convs.{n} has weight {weight.shape} and bias {bias.shape}; "
                "expected (out, in, 3, 3) and (out,)"
            )
        if previous is not None and weight.shape[1] != previous:
            raise WeightsError(f"{path}: convs.{n} takes {weight.shape[1]} channels; convs.{n - 1} gives {previous}")
        previous = weight.shape[0]
        convolutions.append(Convolution(*(_finite(path, f"convs.{n}", tensor) for tensor in (weight, bias))))
    return tuple(convolutions)


def _adain(
    path: Path, tensors: dict[str, NDArray[np.generic]], convolutions: tuple[Convolution, ...]
) -> dict[int, NDArray[np.float32]]:
    shapes = {f"adain.{n}.weight": (2 * len(c.bias), 2 * len(c.bias)) for n, c in enumerate(convolutions[:-1])}
    for name, tensor in tensors.items():
        if tensor.shape != shapes.get(name):
            raise WeightsError(
                f"{path}: {name} is {tensor.shape}; expected adain.N.weight, twice the outputs of convs.N in rows and "
                f"columns, N from 0 to {len(convolutions) - 2}"
            )
    return {n: _finite(path, name, tensors[name]) for n, name in enumerate(shapes) if name in tensors}


def _finite(path: Path, name: str, tensor: NDArray[np.generic]) -> NDArray[np.float32]:
    if not np.issubdtype(tensor.dtype, np.floating):
        raise WeightsError(f"{path}: {name} has values of {tensor.dtype}; expected float32 or float16")
    if not np.isfinite(tensor).all():
        raise WeightsError(f"{path}: {name} has values that are not finite")
    return tensor.astype(np.float32)
