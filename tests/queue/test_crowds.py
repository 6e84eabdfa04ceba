"""Crowds before the worker queue: whatever comes, leaves, fails or dies, nobody is lost."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from app.queue.batching import BatchingQueue
from app.queue.work import (
    Done,
    QueueError,
    Work,
)
from tests.queue.instrumented import (
    FAILS,
    KILLS,
    Instrumented,
    running,
    soon,
    work,
)


async def end(task: "asyncio.Task[Done]", asked: Work) -> str:
    """How one of the crowd ended: done, left, or the kind of error he got."""
    try:
        done = await task
    except asyncio.CancelledError:
        return "left"
    except QueueError as error:
        return type(error).__name__
    assert done.pixels.shape == asked.content.shape
    return "done"


async def crowd(queue: BatchingQueue, one: Callable[[BatchingQueue, int], Awaitable[str]]) -> list[str]:
    return await asyncio.wait_for(asyncio.gather(*(one(queue, n) for n in range(200))), 60)


def test_a_crowd_that_comes_and_goes_loses_nobody() -> None:
    chance = random.Random(3)
    counted = Instrumented()

    async def one(queue: BatchingQueue, number: int) -> str:
        await asyncio.sleep(chance.uniform(0, 0.5))
        # Two pictures that fail, not more: the worker would be blamed.
        side, width = chance.choice(((16, None), (24, None), (32, None), (16, FAILS), (32, FAILS)))
        asked = work(side, width, strength=chance.random())
        task = asyncio.create_task(queue.run(asked, soon(chance.choice((0.02, 30.0)))))
        if number % 5 == 0:
            await asyncio.sleep(chance.uniform(0, 0.05))
            task.cancel()
        return await end(task, asked)

    with running(counted) as queue:
        ends = asyncio.run(crowd(queue, one))
        assert queue.items == 0
        assert queue.alive
    assert len(ends) == 200
    assert {"done", "WorkFailed"} <= set(ends) <= {"done", "left", "WorkFailed", "DeadlinePassed", "Refused"}


def test_a_crowd_outlives_workers_that_die_under_it() -> None:
    chance = random.Random(4)
    deadly = set(range(20, 200, 60))

    async def one(queue: BatchingQueue, number: int) -> str:
        await asyncio.sleep(chance.uniform(0, 0.5))
        asked = work(chance.choice((16, 24, 32)), KILLS if number in deadly else None, strength=chance.random())
        task = asyncio.create_task(queue.run(asked, soon()))
        if number % 7 == 0:
            await asyncio.sleep(chance.uniform(0, 0.05))
            task.cancel()
        return await end(task, asked)

    with running(Instrumented(), Instrumented()) as queue:
        ends = asyncio.run(crowd(queue, one))
        assert queue.items == 0
        while not queue.alive:
            time.sleep(0.01)
        assert asyncio.run(queue.run(work(40), soon())).pixels.shape == (40, 40, 3)
    assert len(ends) == 200
    assert {"done", "left", "WorkerDied"} <= set(ends) <= {"done", "left", "WorkerDied", "Refused"}
