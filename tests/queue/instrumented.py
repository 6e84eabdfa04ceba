"""The real engine behind a gate, with a diary, and faults on demand; and ways to line work up before it."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from app.engine.base import Job, Picture, Steps, encode_style_steps, stylize_steps
from app.engine.tiles import Limits
from app.network.blend import StyleCode, shares
from app.queue.batching import BatchingQueue
from app.queue.hooks import Hooks
from app.queue.work import Done, Work
from app.styles.library import StyleLibrary
from tests.engine.engines import engine, style
from tests.pictures import photo

FAILS, KILLS = 18, 20
SMALL_TILES = Limits(tile_width=136, slab_rows=16)

T = TypeVar("T")


class Instrumented:
    """The real engine, with a gate before it, a diary, and widths at which it fails or dies."""

    name = "instrumented"

    def __init__(self) -> None:
        self.engine = engine("ncnn")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[Job]] = []
        self.encoded = 0

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        self.encoded += 1
        return self.engine.encode_style(picture, alpha)

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        self.batches.append(list(jobs))
        self.entered.release()
        assert self.gate.wait(30)
        widths = [job.content.shape[1] for job in jobs]
        if KILLS in widths:
            raise SystemExit("killed by a test")
        if FAILS in widths:
            raise RuntimeError("failed by a test")
        return self.engine.stylize(jobs)

    def forget(self) -> None:
        """Start the diary after the queue's warm-up."""
        self.batches.clear()
        self.entered = threading.Semaphore(0)
        self.encoded = 0


class Stepped(Instrumented):
    """The same in small tiles, with the gate before each step, and a diary of steps: the width they are of."""

    step_pixels = SMALL_TILES.tile_width**2
    compile_seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine("ncnn", SMALL_TILES)
        self.steps: list[int] = []

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        return (yield from self._noted(picture.shape[1], encode_style_steps(self.engine, picture, alpha)))

    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        self.batches.append(list(jobs))
        return (yield from self._noted(jobs[0].content.shape[1], stylize_steps(self.engine, jobs)))

    def _noted(self, width: int, steps: Steps[T]) -> Steps[T]:
        try:
            while True:
                self.steps.append(width)
                self.entered.release()
                assert self.gate.wait(30)
                if width == KILLS:
                    raise SystemExit("killed by a test")
                part = next(steps)
                yield part
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            steps.close()

    def forget(self) -> None:
        super().forget()
        self.steps.clear()


@contextmanager
def running(
    *engines: Instrumented,
    budget: int = 100_000,
    max_seconds: float = 60.0,
    hooks: Hooks | None = None,
) -> Iterator[BatchingQueue]:
    makers = [lambda made=made: made for made in engines]
    queue = BatchingQueue(makers, StyleLibrary(1_000_000), budget, max_seconds, hooks)
    queue.start()
    for each in engines:
        each.forget()
    try:
        yield queue
    finally:
        for each in engines:
            each.gate.set()
        queue.close()


def work(side: int = 32, width: int | None = None, strength: float = 1.0, name: str = "coffee", **more: bytes) -> Work:
    content = photo("astronaut", 64 if side <= 64 else 512)[:side, : width or side]
    return Work(content, (style(name),), shares([1.0], strength), **more)


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


async def entered(held: Instrumented) -> None:
    """Until the worker is inside the engine."""
    assert await asyncio.to_thread(held.entered.acquire, timeout=20)


async def occupied(queue: BatchingQueue, held: Instrumented) -> "asyncio.Task[Done]":
    """The worker held in a batch of its own shape; open the gate to let it go on."""
    held.gate.clear()
    task = asyncio.create_task(queue.run(work(8), soon()))
    await entered(held)
    return task


async def queued(queue: BatchingQueue, *works: Work) -> list["asyncio.Task[Done]"]:
    """Each in the queue, or refused: a task enters when it first runs."""
    tasks = [asyncio.create_task(queue.run(each, soon())) for each in works]
    await asyncio.sleep(0)
    return tasks
