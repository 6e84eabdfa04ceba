"""Work in steps over the real network in small tiles: who goes between whose steps, and that no result feels it."""

import asyncio
import math
import threading

import numpy as np
import pytest

from app.engine.base import Job
from app.queue.batching import BatchingQueue
from app.queue.hooks import Hooks
from app.queue.work import DeadlinePassed, Done, Priority, Work, WorkerDied
from tests.engine.engines import engine
from tests.queue.instrumented import KILLS, SMALL_TILES, Stepped, entered, queued, running, soon, work

LARGE, SMALL = 160, 32


@pytest.fixture
def held() -> Stepped:
    return Stepped()


async def begun(
    queue: BatchingQueue,
    held: Stepped,
    asked: Work,
    deadline: float = math.inf,
    priority: Priority = Priority.INTERACTIVE,
) -> "asyncio.Task[Done]":
    """The worker, idle till now, held in the first step of a picture; open the gate to let it go on."""
    held.gate.clear()
    held.entered = threading.Semaphore(0)
    task = asyncio.create_task(queue.run(asked, deadline, priority))
    await entered(held)
    return task


def alone(asked: Work) -> np.ndarray:
    (picture,) = engine("ncnn", SMALL_TILES).stylize([Job(asked.content, asked.styles, asked.share)])  # type: ignore[arg-type]
    return picture


def test_small_pictures_go_between_the_steps_of_a_large_one_and_no_pixel_feels_it(held: Stepped) -> None:
    large, smalls = work(LARGE), [work(SMALL, strength=n / 4) for n in range(4)]

    async def main(queue: BatchingQueue) -> None:
        under_way = await begun(queue, held, large)
        waiting = await queued(queue, *smalls)
        before = held.steps.count(LARGE)
        held.gate.set()
        for small, task in zip(smalls, waiting, strict=True):
            assert np.array_equal((await task).pixels, alone(small))
        assert not under_way.done()
        assert held.steps[before] == SMALL, "the step at hand was the last before"
        assert np.array_equal((await under_way).pixels, alone(large))

    with running(held, budget=1) as queue:
        asyncio.run(main(queue))


def test_a_large_picture_goes_on_however_many_small_ones_come(held: Stepped) -> None:
    async def main(queue: BatchingQueue) -> None:
        large = asyncio.create_task(queue.run(work(LARGE), soon(120)))

        async def client(number: int) -> int:
            served = 0
            while not large.done():
                await queue.run(work(SMALL, strength=number / 8), soon(120))
                served += 1
            return served

        served = await asyncio.gather(*(client(number) for number in range(4)))
        await large
        assert min(served) > 1

    with running(held, budget=1) as queue:
        asyncio.run(main(queue))


def test_background_work_gives_way_and_goes_on(held: Stepped) -> None:
    frame, asked = work(LARGE, strength=0.5), work(LARGE)

    async def main(queue: BatchingQueue) -> None:
        background = await begun(queue, held, frame, priority=Priority.BACKGROUND)
        (waiting,) = await queued(queue, asked)
        assert queue.background_items == 0
        assert queue.items == 1
        held.gate.set()
        assert np.array_equal((await waiting).pixels, alone(asked))
        assert not background.done()
        assert np.array_equal((await background).pixels, alone(frame))

    with running(held) as queue:
        asyncio.run(main(queue))


def test_who_hangs_up_or_is_late_amid_his_picture_frees_the_device_at_the_next_step(held: Stepped) -> None:
    dropped: list[None] = []

    async def main(queue: BatchingQueue) -> None:
        leaving = await begun(queue, held, work(LARGE))
        (small,) = await queued(queue, work(SMALL))
        leaving.cancel()
        await asyncio.wait([leaving])
        held.gate.set()
        await small

        late = await begun(queue, held, work(LARGE), soon(2.0))
        (small,) = await queued(queue, work(SMALL))
        with pytest.raises(DeadlinePassed):
            await late
        held.gate.set()
        await small
        assert held.steps.count(LARGE) == len(dropped) == 2

    with running(held, hooks=Hooks(dropped=lambda: dropped.append(None))) as queue:
        asyncio.run(main(queue))


def test_an_equal_request_keeps_a_picture_going_whose_first_client_left(held: Stepped) -> None:
    async def main(queue: BatchingQueue) -> None:
        leaving = await begun(queue, held, work(LARGE, key=b"same"))
        (staying,) = await queued(queue, work(LARGE, key=b"same"))
        leaving.cancel()
        await asyncio.wait([leaving])
        held.gate.set()
        await staying
        assert len(held.batches) == 1

    with running(held) as queue:
        asyncio.run(main(queue))


def test_close_lets_what_is_paused_end_too(held: Stepped) -> None:
    async def main(queue: BatchingQueue) -> None:
        large = await begun(queue, held, work(LARGE))
        (small,) = await queued(queue, work(SMALL))
        held.gate.set()
        await entered(held)
        assert held.steps[:2] == [LARGE, SMALL]
        await asyncio.gather(large, small, asyncio.to_thread(queue.close))

    with running(held) as queue:
        asyncio.run(main(queue))


def test_a_worker_that_dies_gives_up_what_it_has_paused(held: Stepped) -> None:
    async def main(queue: BatchingQueue) -> None:
        large = await begun(queue, held, work(LARGE))
        (deadly,) = await queued(queue, work(SMALL, KILLS))
        held.gate.set()
        for task in (deadly, large):
            with pytest.raises(WorkerDied):
                await task
        assert not queue.alive
        await queue.run(work(SMALL), soon())

    with running(held) as queue:
        asyncio.run(main(queue))


def test_a_small_picture_is_admitted_where_a_large_one_would_wait_too_long(held: Stepped) -> None:
    async def main(queue: BatchingQueue) -> None:
        large = await begun(queue, held, work(LARGE))
        behind_it, ahead_of_it = queue.seconds_ahead(work(LARGE).pixels), queue.seconds_ahead(work(SMALL).pixels)
        assert behind_it > ahead_of_it == 0
        held.gate.set()
        await large

    with running(held) as queue:
        asyncio.run(main(queue))
