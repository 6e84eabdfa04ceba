"""When what happens, in a run of so many steps and in one of so many minutes."""

from pathlib import Path

import pytest

from app.training.options import TrainingOptions
from app.training.schedule import Minutes, Steps, ema_decay, learning_rate, phases, revives


class Clock:
    """Stands where it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_phases_share_the_steps_and_shrink_the_batch_by_area() -> None:
    options = TrainingOptions(steps=1000, crops="128:0.5,256:0.5", batch=8, refresh=0.25, inversion_share=0)
    found = [(p.size, p.batch, p.fresh, p.start, p.stop) for p in phases(options)]
    assert found == [(128, 8, 2, 0, 0.5), (256, 4, 1, 0.5, 1)], "two would be the area's share, four are the least"
    course = Steps(1000)
    assert [[course.over(step, p) for step in (0, 499, 500, 999, 1000)] for p in phases(options)] == [
        [False, False, True, True, True],
        [False, False, False, False, True],
    ]
    assert [course.first_step(phase) for phase in phases(options)] == [0, 500]
    few = phases(options.but(batch=3))
    assert [p.batch for p in few] == [3, 3]
    many = phases(options.but(batch=40))
    assert [p.batch for p in many] == [40, 10]
    assert Steps(7).over(7, phases(TrainingOptions(steps=7))[-1])


def test_the_rate_warms_up_and_falls_to_3_percent() -> None:
    options = TrainingOptions(steps=1000, warmup=100, learning_rate=1.0)
    rates = [learning_rate(options, step, step / 1000) for step in range(1000)]
    assert rates[0] < 0.02
    assert max(rates) == max(rates[95:105]) > 0.95
    assert rates[-1] == pytest.approx(0.03, abs=1e-4)
    assert ema_decay(options, 0) < 0.2
    assert ema_decay(options, 10_000) == options.ema


def test_inversion_comes_first_and_only_to_random_weights() -> None:
    options = TrainingOptions(steps=1000, crops="128:0.5,256:0.5", inversion_share=0.2)
    found = [(p.size, p.inverts, p.start, round(p.stop, 9)) for p in phases(options)]
    assert found == [(128, True, 0, 0.2), (128, False, 0.2, 0.6), (256, False, pytest.approx(0.6), 1)]
    warm = options.but(decoder=Path("decoder.safetensors"))
    assert [(p.inverts, p.start, p.stop) for p in phases(warm)] == [(False, 0, 0.5), (False, 0.5, 1)]


def test_revivals_come_at_intervals_and_not_near_the_end() -> None:
    options = TrainingOptions(steps=100, revive_every=15)
    assert [step for step in range(1, 101) if revives(options, step, step / 100)] == [15, 30, 45, 60, 75]
    assert not any(revives(TrainingOptions(steps=100, revive_every=0), step, 0) for step in range(1, 101))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_minutes_are_shared_by_what_is_left_of_them_when_the_first_step_comes(clock: Clock) -> None:
    course = Minutes(100, since=clock.now, clock=clock)
    clock.now += 20
    course.ended(10)
    assert course.progress(0) == 0, "reading and preparing is over"
    clock.now += 33.5
    assert course.progress(5) == pytest.approx(0.5), "of 80 seconds 13 are kept for the end"
    first, second = phases(TrainingOptions(crops="64:0.5,128:0.5", inversion_share=0))
    assert [course.over(5, phase) for phase in (first, second)] == [True, False]
    course.ended(30)
    assert course.progress(6) == pytest.approx(33.5 / 41), "the end takes longer than was thought"
    clock.now += 10
    assert course.over(7, second)
    assert course.progress(7) == 1


def test_a_run_that_goes_on_shares_the_minutes_left_among_what_is_left_to_do(clock: Clock) -> None:
    course = Minutes(40, since=clock.now, done=0.6, clock=clock)
    assert course.progress(100) == 0.6
    clock.now += 20
    assert course.progress(200) == pytest.approx(0.8)
    clock.now += 100
    assert course.progress(300) == 1


def test_no_time_left_is_the_end(clock: Clock) -> None:
    course = Minutes(10, since=clock.now, clock=clock)
    clock.now += 11
    assert course.progress(0) == 1


def test_warm_up_is_over_after_a_tenth_of_the_minutes_however_few_steps_these_have() -> None:
    options = TrainingOptions(minutes=1, warmup=1000, learning_rate=1.0)
    assert learning_rate(options, 0, 0.0) < 0.01
    assert learning_rate(options, 5, 0.05) == pytest.approx(0.5, abs=0.01)
    assert learning_rate(options, 10, 0.1) > 0.95
    assert learning_rate(options, 100, 1.0) == pytest.approx(0.03)
    assert learning_rate(options, 10_000, 0.01) > 0.95, "nor later than after its steps"
