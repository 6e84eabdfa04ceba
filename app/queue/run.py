"""A batch on its way through an engine, a step at a time."""

import time
from collections.abc import Sequence

from app.engine.base import Engine, Job, Picture, Steps, encode_style_steps, stylize_steps, within
from app.network.blend import StyleCode
from app.queue.work import Item, Line, Work
from app.styles.library import StyleLibrary


def job_steps(engine: Engine, work: Work, library: StyleLibrary) -> Steps[Job]:
    """The job for an engine: styles that are still pictures are encoded, unless the library has their code by now."""
    codes = []
    for number, style in enumerate(work.styles):
        if isinstance(style, StyleCode):
            codes.append(style)
            continue
        code = library.code(style.name, style.size) if style.name is not None else None
        if code is None:
            steps = encode_style_steps(engine, style.pixels, style.alpha)
            code = yield from within(steps, number / len(work.styles), (number + 1) / len(work.styles))
            if style.name is not None:
                library.keep_code(style.name, style.size, code)
        codes.append(code)
    return Job(work.content, tuple(codes), work.share, work.alpha, work.begun)


def batch_steps(engine: Engine, works: Sequence[Work], library: StyleLibrary) -> Steps[list[Picture]]:
    """Repaint works of equal shape: uint8 (H, W, 3) each."""
    of_styles = 1 - sum(work.content_pixels for work in works) / sum(work.pixels for work in works)
    jobs = []
    for number, work in enumerate(works):
        steps = job_steps(engine, work, library)
        start, end = (of_styles * n / len(works) for n in (number, number + 1))
        jobs.append((yield from within(steps, start, end)))
    return (yield from within(stylize_steps(engine, jobs), of_styles, 1.0))


class Run:
    """Items of one line and one shape that an engine repaints together."""

    def __init__(self, items: Sequence[Item], engine: Engine, library: StyleLibrary) -> None:
        self.items = items
        self.line: Line = items[0].line
        self.shape = (*items[0].work.shape, len(items))
        self.pixels = sum(item.pixels for item in items)
        self.part = 0.0  # of it that is done, at the end of the last step
        self._seconds = 0.0
        self._since: float | None = None
        self.dropped = False
        self._steps = batch_steps(engine, [item.work for item in items], library)

    @property
    def seconds(self) -> float:
        """How long it has had the device, in seconds, the step at hand included."""
        since = self._since
        return self._seconds + (time.monotonic() - since if since else 0.0)

    @property
    def pixels_here(self) -> float:
        """Its arithmetic as `Work.pixels` has it, without what another process had done of it."""
        begun = sum(item.work.content_pixels * item.work.begun.resumed for item in self.items if item.work.begun)
        return self.pixels - begun

    def wanted(self, now: float) -> bool:
        """Whether anybody still waits for any of it."""
        return any(item.deadline > now for item in self.items)

    def step(self) -> list[Picture] | None:
        """Take one step; the results, uint8 (H, W, 3) each, where it was the last. Raises whatever the engine does."""
        self._since = time.monotonic()
        try:
            self.part = next(self._steps)
        except StopIteration as end:
            results: list[Picture] = end.value
            return results
        finally:
            self._seconds, self._since = self.seconds, None
        return None

    def close(self) -> None:
        """Give up what it holds."""
        self._steps.close()
