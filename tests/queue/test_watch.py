"""A hanging worker is told from a slow one, from an idle one, and from a machine that slept."""

import logging
import threading

import pytest

from app.queue.watch import HOPELESS, OVERDUE, Pulse, Watch

LEAST = 10.0


@pytest.fixture
def pulse() -> Pulse:
    return Pulse("worker", LEAST)


def test_a_step_is_overdue_after_many_times_what_it_should_take(pulse: Pulse) -> None:
    with pulse.step("in a step", expected=5.0):
        pulse.note(0.0)
        pulse.note(5.0 * OVERDUE)
        assert not pulse.overdue
        pulse.note(0.1)
        assert pulse.overdue
        assert not pulse.hopeless
        pulse.note(5.0 * OVERDUE * HOPELESS)
        assert pulse.hopeless
    assert not pulse.overdue
    assert not pulse.hopeless


@pytest.mark.parametrize(("expected", "at_least", "allowed"), [(0.01, 0.0, LEAST), (0.01, 60.0, 60.0)])
def test_a_short_step_and_one_that_may_compile_have_a_while(
    pulse: Pulse, expected: float, at_least: float, allowed: float
) -> None:
    with pulse.step("in a step", expected, at_least):
        pulse.note(0.0)
        pulse.note(allowed)
        assert not pulse.overdue
        pulse.note(1.0)
        assert pulse.overdue


def test_steps_that_end_are_life_however_many_they_are(pulse: Pulse) -> None:
    for _ in range(100):
        with pulse.step("in a step", expected=0.1):
            pulse.note(9.0)
            pulse.note(9.0)
            assert not pulse.overdue


def test_who_has_nothing_to_do_is_never_overdue(pulse: Pulse) -> None:
    for _ in range(100):
        pulse.note(100.0)
    assert not pulse.overdue
    with pulse.step("in a step", expected=0.1):
        assert not pulse.overdue


def test_the_log_tells_when_it_stands_and_when_it_goes_on(pulse: Pulse, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        with pulse.step("in a step of 1 x 640x480 pixels", expected=0.1):
            for _ in range(4):
                pulse.note(6.0)
        pulse.note(1.0)
    assert [record.message for record in caplog.records] == [
        "worker has been in a step of 1 x 640x480 pixels for 12 s, 10 s at most were expected",
        "worker goes on",
    ]


def test_the_watch_gives_up_a_pulse_that_stands() -> None:
    told: list[str] = []
    pulse, closing = Pulse("worker", 0.01), threading.Event()
    watch = Watch([Pulse("idle", 0.01), pulse], 0.001, closing, told.append)
    with pulse.step("in a step", expected=0.0):
        watch.start()
        watch.join(20)
    assert not watch.is_alive()
    (reason,) = told
    assert reason.startswith("worker has been in a step")
