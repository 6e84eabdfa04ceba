"""The real service over the real engine, but photos of some widths meet a fault: what tests serve to see it borne."""

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


class FaultyEngine:
    def __init__(self) -> None:
        self.engine = create_engine()
        self.name = f"faulty {self.engine.name}"

    def encode_style(self, picture: Picture) -> StyleCode:
        return self.engine.encode_style(picture)

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        widths = {job.content.shape[1] for job in jobs}
        if KILLS in widths:
            raise SystemExit("killed by a test")
        if FAILS in widths:
            raise RuntimeError("failed by a test")
        if SLOW in widths:
            time.sleep(SLOW_SECONDS)
        return self.engine.stylize(jobs)


log_to_stderr("info")
app = create_app(make_engine=FaultyEngine)


@app.get("/unforeseen")
async def unforeseen(text: str) -> None:
    raise LookupError(text)
