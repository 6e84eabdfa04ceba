"""Estimates of what lies ahead agree with how the desk shares the device."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.queue.desk import LEAD_SECONDS, Desk
from app.queue.load import ARRIVAL_SECONDS, TELLING, Arrivals, Load, RecentSizes
from app.queue.work import Line, Priority, line_of

STEP = 0.05
WORK = st.floats(0.5, 20)
LINES = [Line(Priority.INTERACTIVE, level) for level in (8, 10, 12)] + [Line(Priority.BACKGROUND, 9)]


def test_without_work_nothing_is_ahead() -> None:
    load = Load()
    assert load.total == 0
    assert load.until(LINES[0]) == 0
    assert load.until(LINES[0], 7.0) == 7.0


@settings(max_examples=40)
@given(
    work=st.lists(WORK, min_size=4, max_size=4),
    arriving=st.lists(st.floats(0, 0.4), min_size=4, max_size=4),
    mine=st.integers(0, 2),
)
def test_the_estimate_is_when_the_desk_has_served_it(work: list[float], arriving: list[float], mine: int) -> None:
    load, left, desk = Load(), dict(zip(LINES, work, strict=True)), Desk()
    parts = dict(zip(LINES, arriving, strict=True))
    for line, seconds in left.items():
        load.add(line, seconds)
    expected = load.until(LINES[mine], arriving={line: {"": part} for line, part in parts.items()})
    parts[LINES[mine]] = 0.0  # what comes behind it
    now = 0.0
    while left[LINES[mine]] > 0:
        line = desk.choose([line for line in LINES if left[line] > 0])
        assert line
        desk.charge(line, STEP)
        left[line] -= STEP
        now += STEP
        for other, part in parts.items():
            left[other] += part * STEP
    # Each of the others may be ahead or behind by the lead and a step, background by the lead of its weight.
    assert now == pytest.approx(expected, abs=3 * (LEAD_SECONDS + 10 * STEP))


def test_clients_who_come_later_overtake_one_who_has_more_in_the_line() -> None:
    load, line = Load(), LINES[0]
    load.add(line, 10.0, "me")
    load.add(line, 2.0, "other")
    assert load.until(line, 0.0, "me") == pytest.approx(12, rel=0.01)
    assert load.until(line, 0.0, "me", {line: {"other": 0.25, "me": 0.5}}) == pytest.approx(16, rel=0.01)
    assert load.until(line, 0.0, "me", {line: {"other": 0.9}}) == pytest.approx(20, rel=0.01), "no more than its share"


def test_arrivals_are_remembered_by_line_and_client(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    arrivals = Arrivals()
    soon, late = ARRIVAL_SECONDS
    for _ in range(2 * int(soon)):
        now += 1
        arrivals.add(LINES[0], 2e6, "a")
    arrivals.add(LINES[1], 1e6, "b")
    assert arrivals.rates()[LINES[0]]["a"] == pytest.approx(2e6, rel=0.2), "seen soon"
    now += soon
    assert arrivals.rates()[LINES[0]]["a"] > 0.5e6, "not taken for the end"
    now += 20 * late
    assert arrivals.rates() == {LINES[0]: {}, LINES[1]: {}}


def test_the_least_of_the_recent_sizes_is_known_once_they_are_many() -> None:
    sizes = RecentSizes()
    assert sizes.least == 0
    assert sizes.age == math.inf
    for pixels in (5e6, 7e4, 3e5):
        sizes.add(pixels)
    assert sizes.least == 0
    for _ in range(TELLING):
        sizes.add(5e6)
    assert sizes.least == 7e4
    assert sizes.age < 10


def test_a_line_of_any_work_is_found() -> None:
    assert line_of(Priority.INTERACTIVE, 0).least_pixels == 0
    assert line_of(Priority.INTERACTIVE, 4**9).least_pixels == 4**9
