"""The real service over the real engine, but photos of some widths meet a fault: what tests serve to see it borne."""

import threading
import time
from collections.abc import Sequence

from app.engine.base import Job, Picture
from app.engine.create import create_engine
from app.logs import log_to_stderr
from app.main import create_app
from app.network.blend import StyleCode

FAILS = 23
KILLS = 29
SLOW = 37
SLOW_SECONDS = 1.5
# From such a photo on the engine fails on every one; or its device fails, once or for good; or it never comes back.
BREAKS = 41
LOSES_DEVICE = 43
LOSES_DEVICE_FOR_GOOD = 47
HANGS = 53


class FaultyEngine:
    device_is_lost = False

    def __init__(self) -> None:
        if FaultyEngine.device_is_lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.broken = False
        self.engine = create_engine()
        self.name = f"faulty {self.engine.name}"

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        return self.engine.encode_style(picture, alpha)

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        widths = {job.content.shape[1] for job in jobs}
        if KILLS in widths:
            raise SystemExit("killed by a test")
        self.broken |= BREAKS in widths
        if self.broken or FAILS in widths:
            raise RuntimeError("failed by a test")
        if widths & {LOSES_DEVICE, LOSES_DEVICE_FOR_GOOD}:
            FaultyEngine.device_is_lost = LOSES_DEVICE_FOR_GOOD in widths
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with TORCH_USE_CUDA_DSA")
        if HANGS in widths:
            threading.Event().wait()
        if SLOW in widths:
            time.sleep(SLOW_SECONDS)
        return self.engine.stylize(jobs)


log_to_stderr("info")
app = create_app(make_engine=FaultyEngine)


@app.get("/unforeseen")
async def unforeseen(text: str) -> None:
    raise LookupError(text)
