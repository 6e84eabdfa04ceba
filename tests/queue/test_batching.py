"""The worker queue over the real network on tiny pictures; its engine can be held, and told to fail."""

import asyncio
import time

import numpy as np
import pytest

from app.engine.base import Job, feature_grid
from app.network.blend import shares
from app.network.weights import WeightsError, read_weights
from app.queue.batching import PROBE_SECONDS, BatchingQueue
from app.queue.hooks import Hooks
from app.queue.load import TELLING
from app.queue.work import (
    DeadlinePassed,
    Done,
    Refused,
    StylePicture,
    Work,
    WorkerDied,
    WorkFailed,
)
from app.styles.library import StyleLibrary
from tests.engine.engines import engine, style
from tests.pictures import photo
from tests.queue.instrumented import (
    FAILS,
    KILLS,
    Instrumented,
    entered,
    occupied,
    queued,
    running,
    soon,
    work,
)


@pytest.fixture
def held() -> Instrumented:
    return Instrumented()


def test_a_single_item_starts_at_once_and_is_what_the_engine_gives(held: Instrumented) -> None:
    with running(held) as queue:
        done = asyncio.run(queue.run(work(), soon()))
    (expected,) = engine("ncnn").stylize([Job(work().content, work().styles, work().share)])  # type: ignore[arg-type]
    assert np.array_equal(done.pixels, expected)
    assert done.batch_size == 1
    assert done.network_seconds > 0


def test_equal_shapes_go_together_oldest_first_within_the_budget(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        works = [work(32), work(48), work(30, 31), work(32, 25), work(48), work(32)]
        tasks = await queued(queue, *works)
        held.gate.set()
        await asyncio.gather(first, *tasks)
        shapes = [[job.content.shape[:2] for job in batch] for batch in held.batches[1:]]
        assert shapes == [[(32, 32), (30, 31), (32, 25)], [(48, 48)], [(48, 48)], [(32, 32)]]

    with running(held, budget=3 * 32 * 32) as queue:
        asyncio.run(main(queue))


def test_styles_strengths_and_masks_mixed_in_a_batch_give_what_each_gives_alone(held: Instrumented) -> None:
    grid = feature_grid(32, 32)
    mask = np.tile(np.linspace(0, 255, grid[1]).astype(np.uint8), (grid[0], 1))
    content = photo("astronaut", 64)[:32, :32]
    both = (style("coffee"), style("rocket"))
    works = [
        work(),
        work(strength=0.3),
        work(name="rocket"),
        Work(content, both, shares([1, 2], 0.8)),
        Work(content, both, shares([1, 1], 1, [mask, 255 - mask])),
    ]

    async def main(queue: BatchingQueue) -> None:
        alone = [await queue.run(each, soon()) for each in works]
        first = await occupied(queue, held)
        tasks = await queued(queue, *works)
        held.gate.set()
        together = await asyncio.gather(*tasks)
        await first
        assert {done.batch_size for done in together} == {len(works)}
        for one, same in zip(alone, together, strict=True):
            assert np.abs(one.pixels.astype(int) - same.pixels).max() <= 1

    with running(held) as queue:
        asyncio.run(main(queue))


def test_a_style_new_to_a_batch_is_encoded_once_and_remembered(held: Instrumented) -> None:
    new = StylePicture(photo("rocket", 48), "rocket", 48)
    works = [Work(work().content, (new,), shares([1.0], strength)) for strength in (0.5, 1.0)]

    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        tasks = await queued(queue, *works)
        held.gate.set()
        await asyncio.gather(first, *tasks)
        await queue.run(works[0], soon())
        assert held.encoded == 1

    with running(held) as queue:
        asyncio.run(main(queue))


def test_one_that_fails_fails_no_neighbour(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        good, bad, also_good = await queued(queue, work(24), work(24, FAILS), work(24, strength=0.5))
        held.gate.set()
        with pytest.raises(WorkFailed):
            await bad
        await asyncio.gather(first, good, also_good)

    with running(held) as queue:
        asyncio.run(main(queue))


def test_one_who_leaves_gives_his_place_back_and_is_not_run(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        leaving, staying = await queued(queue, work(32), work(48))
        leaving.cancel()
        await asyncio.wait([leaving])
        assert queue.items == 1
        held.gate.set()
        await asyncio.gather(first, staying)
        assert len(held.batches) == 2

    with running(held) as queue:
        asyncio.run(main(queue))


def test_one_whose_deadline_passes_is_not_started(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        with pytest.raises(DeadlinePassed):
            await queue.run(work(32), soon(0.5))
        with pytest.raises(DeadlinePassed):
            await queue.run(work(32), soon(-1))
        held.gate.set()
        await first
        assert len(held.batches) == 1
        assert queue.items == 0

    with running(held) as queue:
        asyncio.run(main(queue))


def test_the_worker_keeps_to_deadlines_even_while_the_event_loop_is_stuck(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        late = asyncio.create_task(queue.run(work(32), soon(1.0)))
        await asyncio.sleep(0)
        assert queue.items == 1
        time.sleep(1.2)  # noqa: ASYNC251
        held.gate.set()
        while queue.items:
            time.sleep(0.001)  # noqa: ASYNC251
        with pytest.raises(DeadlinePassed):
            await late
        await first
        assert len(held.batches) == 1

    with running(held) as queue:
        asyncio.run(main(queue))


def test_more_than_can_wait_is_refused_with_the_time_until_a_place_is_free(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        enough = int(0.2 * queue.rate / work(64).pixels) + 3
        tasks = await queued(queue, *[work(64) for _ in range(enough)])
        assert 0 < queue.items < enough
        held.gate.set()
        *ended, last = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(ended[0], Done)
        assert isinstance(last, Refused)
        assert 0 < last.retry_after < 10
        await first
        await queue.run(work(64), soon())

    with running(held, max_seconds=0.2) as queue:
        asyncio.run(main(queue))


def test_a_request_still_to_be_read_is_judged_by_the_smallest_of_many_before_it(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        queue.admit_unread(30)
        enough = int(0.2 * queue.rate / work(64).pixels) + TELLING
        tasks = await queued(queue, *[work(64) for _ in range(enough)])
        with pytest.raises(Refused):
            queue.admit_unread(30)
        queue.admit(30, 1)
        await asyncio.sleep(PROBE_SECONDS)
        queue.admit_unread(30)
        held.gate.set()
        await asyncio.gather(first, *tasks, return_exceptions=True)

    with running(held, max_seconds=0.2) as queue:
        asyncio.run(main(queue))


def test_what_would_end_after_its_deadline_is_refused_at_once(held: Instrumented) -> None:
    with running(held) as queue:
        needed = work(64).pixels / queue.rate
        queue.admit(2 * needed, work(64).pixels)
        queue.admit(0.5 * needed)

        async def main() -> None:
            first = await occupied(queue, held)
            waiting = await queued(queue, *[work(64, strength=n / 20) for n in range(20)])
            with pytest.raises(Refused):
                queue.admit(queue.seconds_ahead(work(64).pixels) / 2, work(64).pixels)
            held.gate.set()
            await asyncio.gather(first, *waiting)

        asyncio.run(main())


def test_a_worker_that_dies_fails_what_it_held_and_comes_back(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        (kept,) = await queued(queue, work(48))
        held.gate.set()
        await first
        await kept
        with pytest.raises(WorkerDied):
            await queue.run(work(32, KILLS), soon())
        assert not queue.alive
        done = await queue.run(work(32), soon())
        assert queue.alive
        assert done.pixels.shape == (32, 32, 3)

    with running(held) as queue:
        asyncio.run(main(queue))


def test_close_lets_the_running_batch_end_and_fails_what_waits(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        (waiting,) = await queued(queue, work(48))
        closing = asyncio.create_task(asyncio.to_thread(queue.close))
        with pytest.raises(WorkerDied):
            await waiting
        held.gate.set()
        assert (await first).batch_size == 1
        await closing
        assert not queue.busy
        with pytest.raises(WorkerDied):
            await queue.run(work(), soon())

    with running(held) as queue:
        asyncio.run(main(queue))


def test_start_raises_what_keeps_an_engine_from_loading(tmp_path) -> None:  # type: ignore[no-untyped-def]
    missing = tmp_path / "missing.safetensors"

    def make() -> Instrumented:
        read_weights(missing)
        return Instrumented()

    queue = BatchingQueue([make], StyleLibrary(0), 1, 1.0)
    with pytest.raises(WeightsError, match=missing.name):
        queue.start()
    assert not queue.alive


def test_several_engines_share_one_queue(held: Instrumented) -> None:
    other = Instrumented()

    async def main(queue: BatchingQueue) -> None:
        held.gate.clear()
        other.gate.clear()
        tasks = [asyncio.create_task(queue.run(work(side), soon())) for side in (32, 48)]
        await entered(held)
        await entered(other)
        held.gate.set()
        other.gate.set()
        await asyncio.gather(*tasks)
        assert [len(held.batches), len(other.batches)] == [1, 1]

    with running(held, other) as queue:
        asyncio.run(main(queue))


def test_equal_work_in_the_queue_is_run_once_for_all_who_wait(held: Instrumented) -> None:
    shared: list[None] = []

    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        (one,) = await queued(queue, work(32, key=b"same"))
        impatient = asyncio.create_task(queue.run(work(32, key=b"same"), soon(0.5)))
        leaving = asyncio.create_task(queue.run(work(32, key=b"same"), soon()))
        (other,) = await queued(queue, work(32, key=b"other"))
        with pytest.raises(DeadlinePassed):
            await impatient
        leaving.cancel()
        held.gate.set()
        assert not np.shares_memory((await one).pixels, (await other).pixels)
        await first
        assert [len(batch) for batch in held.batches] == [1, 2]
        assert len(shared) == 2

    with running(held, hooks=Hooks(shared=lambda: shared.append(None))) as queue:
        asyncio.run(main(queue))


def test_clients_take_turns_however_much_one_of_them_sends(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        sent = [("many", width) for width in (24, 25, 26, 27)] + [("few", 30), ("few", 31)]
        tasks = []
        for client, width in sent:
            tasks.append(asyncio.create_task(queue.run(work(32, width), soon(), client=client)))
            await asyncio.sleep(0)
        held.gate.set()
        await asyncio.gather(first, *tasks)
        assert [batch[0].content.shape[1] for batch in held.batches[1:]] == [24, 30, 25, 31, 26, 27]

    with running(held, budget=1) as queue:
        asyncio.run(main(queue))


def test_one_who_sent_much_is_refused_where_another_is_let_in(held: Instrumented) -> None:
    async def main(queue: BatchingQueue) -> None:
        first = await occupied(queue, held)
        tasks = []
        while not tasks or not tasks[-1].done():
            tasks.append(asyncio.create_task(queue.run(work(48, 24 + len(tasks)), soon(), client="many")))
            await asyncio.sleep(0)
        with pytest.raises(Refused):
            await tasks[-1]
        queue.admit(30.0, work(48, 40).pixels, "few")
        held.gate.set()
        await asyncio.gather(first, *tasks, return_exceptions=True)

    with running(held, max_seconds=0.05) as queue:
        asyncio.run(main(queue))
