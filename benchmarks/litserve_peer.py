"""A peer for the serving layer: LitServe over the same engine, with its own batching.

It does less than the service: one style, encoded once, and nothing checked.
"""

import io
from contextlib import AbstractContextManager

import litserve
import numpy as np
from PIL import Image
from skimage import data
from starlette.responses import Response

from app.engine.base import Job, Picture
from app.engine.create import create_engine
from app.network.blend import shares
from benchmarks.server import running

MAX_BATCH = 4


class StylizeAPI(litserve.LitAPI):
    """One photo in, a JPEG out."""

    def setup(self, device: str) -> None:
        self.engine = create_engine()
        self.code = self.engine.encode_style(data.coffee())

    def decode_request(self, request) -> tuple[Picture, float]:
        photo = np.asarray(Image.open(request["content"].file).convert("RGB"))
        return photo, float(request.get("strength", 1))

    def batch(self, inputs: list[tuple[Picture, float]]) -> list[tuple[Picture, float]]:
        return inputs

    def predict(self, batch: list[tuple[Picture, float]]) -> list[Picture]:
        jobs = [Job(photo, (self.code,), shares([1.0], strength)) for photo, strength in batch]
        return self.engine.stylize(jobs)

    def unbatch(self, output: list[Picture]) -> list[Picture]:
        return output

    def encode_response(self, output: Picture) -> Response:
        file = io.BytesIO()
        Image.fromarray(output).save(file, "JPEG", quality=90)
        return Response(file.getvalue(), media_type="image/jpeg")


def running_litserve() -> AbstractContextManager[str]:
    """Start it, wait until it is ready, and give its base URL."""
    return running("benchmarks.litserve_peer", "/health")


def main(port: int) -> None:
    api = StylizeAPI(max_batch_size=MAX_BATCH, batch_timeout=0.0, api_path="/stylize")
    server = litserve.LitServer(api, accelerator="cpu", timeout=300)
    server.run(port=port, generate_client_file=False, log_level="warning", host="127.0.0.1")


if __name__ == "__main__":
    import sys

    main(int(sys.argv[-1]))
