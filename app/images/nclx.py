"""Colours told by two numbers (ITU-T H.273), as HEIF and AVIF may, as the ICC profile that says the same."""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# x and y of red, green and blue, whose white is D65: BT.709, both of BT.601, BT.2020, Display P3.
PRIMARIES: Final = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
UNSPECIFIED: Final = 2
D65: Final = (0.3127, 0.3290)
D50: Final = np.array([0.9642, 1.0, 0.8249])
BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# Video's curves are shown as sRGB's is, by custom.
AS_SRGB: Final = frozenset({1, UNSPECIFIED, 6, 13, 14, 15})
GAMMAS: Final = {4: 2.2, 5: 2.8, 8: 1.0}
PQ, HLG = 16, 18
REFERENCE_WHITE: Final = 203.0  # cd/m2: what is brighter has no place in sRGB (ITU-R BT.2408)
HLG_PEAK: Final = 1000.0
STEPS: Final = 4096


def profile(primaries: int, transfer: int) -> bytes | None:
    """An ICC profile for these; None where they are sRGB's, or not known here."""
    curve = _curve(transfer)
    colours = PRIMARIES.get(1 if primaries == UNSPECIFIED else primaries)
    if curve is None or colours is None or (transfer in AS_SRGB and colours == PRIMARIES[1]):
        return None
    tags = {b"wtpt": b"XYZ " + bytes(4) + _fixed(*D50)}
    for letter, column in zip((b"r", b"g", b"b"), _matrix(colours).T, strict=True):
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*column)
        tags[letter + b"TRC"] = curve
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head + _fixed(*D50)).ljust(128, b"\0") + table + body


def _matrix(colours: tuple[tuple[float, float], ...]) -> Floats:
    """Linear red, green and blue to XYZ as ICC has it, adapted to D50."""
    white, *columns = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in (D65, *colours))
    primaries = np.stack(columns, axis=1)
    matrix = primaries * np.linalg.solve(primaries, white)
    gains = (BRADFORD @ D50) / (BRADFORD @ white)
    return np.asarray(np.linalg.inv(BRADFORD) @ (gains[:, None] * BRADFORD) @ matrix)


def _curve(transfer: int) -> bytes | None:
    """From numbers to light, 1 at reference white."""
    if transfer in GAMMAS:
        return b"curv" + bytes(4) + struct.pack(">IH2x", 1, round(GAMMAS[transfer] * 256))
    if transfer in AS_SRGB:
        return b"para" + bytes(4) + struct.pack(">H2x", 3) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    signal = np.linspace(0, 1, STEPS)
    if transfer == PQ:
        root = signal ** (32 / 2523)
        nits = 10_000 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (8192 / 1305)
    elif transfer == HLG:
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        nits = HLG_PEAK * scene**1.2
    else:
        return None
    light = np.rint(65535 * np.minimum(nits / REFERENCE_WHITE, 1))
    return b"curv" + bytes(4) + struct.pack(f">I{STEPS}H", STEPS, *light.astype(int).tolist())


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))
