"""ICC profiles made by hand, so that what they mean is known to the number."""

import struct

Row = tuple[float, float, float]

# Columns X, Y, Z of the primaries red, green, blue, adapted to D50.
SRGB: tuple[Row, Row, Row] = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
DISPLAY_P3: tuple[Row, Row, Row] = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)


def fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def profile(space: bytes, device: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    white = fixed(0.9642, 1.0, 0.8249)
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0\0\0\0", 0x02400000, device, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white + bytes(48)
    return head + table + body


def gamma(exponent: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def rgb(primaries: tuple[Row, Row, Row], exponent: float) -> bytes:
    """A display: light is the number to a power, mixed from three primaries."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)}
    for letter, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*primary)
        tags[letter + b"TRC"] = gamma(exponent)
    return profile(b"RGB ", b"mntr", b"XYZ ", tags)


def grey(exponent: float) -> bytes:
    white = b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249)
    return profile(b"GRAY", b"mntr", b"XYZ ", {b"wtpt": white, b"kTRC": gamma(exponent)})


def cmyk(colours: dict[int, Row]) -> bytes:
    """A printer. `colours`: CIELAB of inks laid on in full, C 8, M 4, Y 2, K 1 added up; black where not given."""
    table = b""
    for inks in range(16):
        lightness, a, b = colours.get(inks, (0.0, 0.0, 0.0))
        table += bytes((round(lightness * 2.55), round(a + 128), round(b + 128)))
    identity = bytes(range(256))
    unit = fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + identity * 4 + table + identity * 3
    return profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": lut})
