"""Paint the styles that stand ready."""

import sys
from pathlib import Path

import numpy as np

from painters import brush, line, planes, swirls
from painters.canvas import to_image

READY = Path(__file__).parent.parent / "app" / "styles" / "ready"
# By the seed each painted with.
PAINTERS = {
    2: brush.wheat,
    3: brush.knife,
    4: brush.watercolour,
    5: brush.pointillism,
    6: brush.ink_wash,
    7: swirls.night,
    8: line.hatching,
    9: line.halftone,
    10: planes.stained_glass,
    11: planes.mosaic,
    12: planes.cubist,
    13: planes.marbling,
    14: planes.woodblock_wave,
    15: planes.cut_paper,
    16: planes.forest_glow,
    17: line.woodcut,
}


def main() -> None:
    READY.mkdir(parents=True, exist_ok=True)
    for seed, painter in PAINTERS.items():
        name = painter.__name__.replace("_", "-")
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        to_image(painter(np.random.default_rng(seed))).save(READY / f"{name}.jpg", quality=88)
        print(name)


if __name__ == "__main__":
    main()
