"""Estimates of what lies ahead agree with how the desk shares the device."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.queue.desk import LEAD_SECONDS, Desk
from app.queue.load import TELLING, Load, RecentSizes
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
@given(work=st.lists(WORK, min_size=4, max_size=4), mine=st.integers(0, 2))
def test_the_estimate_is_when_the_desk_has_served_it(work: list[float], mine: int) -> None:
    load, left, desk = Load(), dict(zip(LINES, work, strict=True)), Desk()
    for line, seconds in left.items():
        load.add(line, seconds)
    now = 0.0
    while left[LINES[mine]] > 0:
        line = desk.choose([line for line in LINES if left[line] > 0])
        assert line
        desk.charge(line, STEP)
        left[line] -= STEP
        now += STEP
    # Each of the others may be ahead or behind by the lead and a step, background by the lead of its weight.
    assert now == pytest.approx(load.until(LINES[mine]), abs=3 * (LEAD_SECONDS + 10 * STEP))


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
