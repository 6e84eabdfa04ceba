"""The network alone in a loop, as the roof that a server over it is held against: prints images per second."""

import argparse
import time

import numpy as np
from PIL import Image
from skimage import data

from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="side of the photo in pixels")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to loop")
    asked = parser.parse_args()
    engine = create_engine()
    photo = np.asarray(Image.fromarray(data.astronaut()).resize((asked.size, asked.size)))
    job = Job(photo, (engine.encode_style(data.coffee()),), shares([1.0]))
    for _ in range(2):
        engine.stylize([job])
    since, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - since) < asked.seconds:
        engine.stylize([job])
        count += 1
    print(count / elapsed)


if __name__ == "__main__":
    main()
