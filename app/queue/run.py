"""A batch on its way through an engine, a step at a time."""

import time
from collections.abc import Sequence

from app.engine.base import Engine, Job, Picture, Steps, encode_style_steps, stylize_steps
from app.network.blend import StyleCode
from app.queue.work import Item, Line, Work
from app.styles.library import StyleLibrary


def job_steps(engine: Engine, work: Work, library: StyleLibrary) -> Steps[Job]:
    """The job for an engine: styles that are still pictures are encoded, unless the library has their code by now."""
    codes = []
    for style in work.styles:
        if isinstance(style, StyleCode):
            codes.append(style)
            continue
        code = library.code(style.name, style.size) if style.name is not None else None
        if code is None:
            code = yield from encode_style_steps(engine, style.pixels, style.alpha)
            if style.name is not None:
                library.keep_code(style.name, style.size, code)
        codes.append(code)
    return Job(work.content, tuple(codes), work.share, work.alpha)


def batch_steps(engine: Engine, works: Sequence[Work], library: StyleLibrary) -> Steps[list[Picture]]:
    """Repaint works of equal shape: uint8 (H, W, 3) each."""
    jobs = []
    for work in works:
        jobs.append((yield from job_steps(engine, work, library)))
    return (yield from stylize_steps(engine, jobs))


class Run:
    """Items of one line and one shape that an engine repaints together."""

    def __init__(self, items: Sequence[Item], engine: Engine, library: StyleLibrary) -> None:
        self.items = items
        self.line: Line = items[0].line
        self.shape = (*items[0].work.shape, len(items))
        self.pixels = sum(item.pixels for item in items)
        self._seconds = 0.0
        self._since: float | None = None
        self.dropped = False
        self._steps = batch_steps(engine, [item.work for item in items], library)

    @property
    def seconds(self) -> float:
        """How long it has had the device, in seconds, the step at hand included."""
        since = self._since
        return self._seconds + (time.monotonic() - since if since else 0.0)

    def wanted(self, now: float) -> bool:
        """Whether anybody still waits for any of it."""
        return any(item.deadline > now for item in self.items)

    def step(self) -> list[Picture] | None:
        """Take one step; the results, uint8 (H, W, 3) each, where it was the last. Raises whatever the engine does."""
        self._since = time.monotonic()
        try:
            next(self._steps)
        except StopIteration as end:
            results: list[Picture] = end.value
            return results
        finally:
            self._seconds, self._since = self.seconds, None
        return None

    def close(self) -> None:
        """Give up what it holds."""
        self._steps.close()
