"""Turns of clients in the lines of what waits, and that whoever was let in at twice the capacity is served in time."""

import random
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from app.network.blend import shares
from app.queue.desk import Desk
from app.queue.load import Arrivals, Load
from app.queue.waiting import Waiting
from app.queue.work import Item, Line, Priority, Work

RATE, STEP = 160e3, 150e3  # pixels a second, and in a step at most
SIZES = {128: 0.35, 256: 0.4, 384: 0.24, 1024: 0.01}
PHOTOS = {side: np.empty((side, side, 3), np.uint8) for side in (*SIZES, 300)}
MAX_SECONDS, TIMEOUT = 30, 60


def item(side: int, client: str) -> Item:
    return Item(Work(PHOTOS[side], (), shares([])), Priority.INTERACTIVE, lambda _: None, client)


def taken(waiting: Waiting, line: Line, budget: float = 1) -> list[Item]:
    return waiting.take_batch(line, budget)


def test_a_large_picture_does_not_put_a_clients_small_ones_back() -> None:
    waiting = Waiting()
    large, small = item(1024, "both"), item(256, "both")
    waiting.add(large)
    assert taken(waiting, large.line) == [large]
    waiting.add(small)
    for _ in range(3):
        waiting.add(item(256, "small"))
    assert taken(waiting, small.line) == [small]


def test_what_fills_batches_does_not_put_off_those_that_do_not_fit() -> None:
    waiting = Waiting()
    odd = item(300, "a")
    assert odd.line == item(256, "a").line
    for _ in range(2):
        waiting.add(item(256, "b"))
    waiting.add(odd)
    for _ in range(8):
        waiting.add(item(256, "a"))
    batches = []
    while odd in waiting.items():
        batches.append(taken(waiting, odd.line, budget=3 * 256 * 256))
        waiting.add(item(256, "b"))
    assert len(batches) <= 2


def test_one_who_left_gives_his_turn_back() -> None:
    waiting = Waiting()
    first, second = item(256, "a"), item(256, "a")
    waiting.add(first)
    assert waiting.ahead(first.line, "a") == first.pixels
    assert waiting.remove(first)
    assert not waiting.remove(first)
    waiting.add(item(256, "b"))
    waiting.add(second)
    assert waiting.ahead(first.line, "a") == second.pixels
    assert waiting.ahead(first.line, "c") == 0


def test_who_has_waited_longer_than_was_foreseen_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting = Waiting(MAX_SECONDS)
    first, second = item(256, "many"), item(256, "many")
    for one in (first, second):
        waiting.add(one)
    assert taken(waiting, first.line) == [first]
    now += MAX_SECONDS + 1
    waiting.add(item(256, "few"))
    assert taken(waiting, first.line) == [second]


@dataclass
class Begun:
    """What a desk has begun."""

    line: Line
    items: list[Item]
    left: float


def admitted(new: Item, waiting: Waiting, begun: list[Begun], arrivals: Arrivals) -> bool:
    """As `BatchingQueue.admit`."""
    load = Load()
    for one in waiting.items():
        load.add(one.line, one.pixels, one.client)
    for run in begun:
        load.add(run.line, run.left, None)
    parts = {line: {one: came / RATE for one, came in of.items()} for line, of in arrivals.rates().items()}
    ahead = waiting.ahead(new.line, new.client)
    begins = load.until(new.line, 0.0, new.client, parts, ahead) / RATE
    ends = load.until(new.line, new.pixels, new.client, load.here(parts), ahead) / RATE
    return begins <= MAX_SECONDS and ends <= TIMEOUT


def test_at_twice_the_capacity_hardly_anybody_let_in_waits_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    now, chance = 0.0, random.Random(1)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting, desk, arrivals, begun = Waiting(MAX_SECONDS), Desk(), Arrivals(), list[Begun]()
    rate = 2 * RATE / sum(part * side * side for side, part in SIZES.items())
    found, next_arrival, served = Counter[str](), 0.0, 0.0
    while now < 400:
        while next_arrival <= now:
            new = item(chance.choices(list(SIZES), list(SIZES.values()))[0], str(chance.randrange(8)))
            new.since = next_arrival
            next_arrival += chance.expovariate(rate)
            if admitted(new, waiting, begun, arrivals):
                arrivals.add(new.line, new.pixels, new.client)
                waiting.add(new)
            else:
                found["refused"] += 1
        line = desk.choose([*waiting.lines, *(run.line for run in begun)])
        if line is None:
            now = next_arrival
            continue
        run = next((run for run in begun if run.line == line), None)
        if run is None:
            items = waiting.take_batch(line, 512 * 512)
            run = Begun(line, items, sum(one.pixels for one in items))
            begun.append(run)
        step = min(run.left, STEP)
        run.left -= step
        served += step
        now += step / RATE
        desk.charge(line, step / RATE)
        if run.left <= 0:
            begun.remove(run)
            for one in run.items:
                found["in time" if now - one.since <= TIMEOUT else "late"] += 1
    assert found["refused"] > 300
    assert found["late"] <= 2, "of a thousand, and while the load was new"
    assert served / RATE > 0.95 * 400, "nor does the network wait for work"
