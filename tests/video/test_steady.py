"""Strokes stay on what they are painted on, and on nothing else."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from app.video.flow import guide, step_back
from app.video.steady import Carrier, Follower
from tests.pictures import photo
from tests.video import clips

Bytes = NDArray[np.uint8]
ALL = np.ones((1, 1), np.float32)


def carried(
    frames: list[Bytes],
    painted: list[Bytes],
    steadiness: float = 0.7,
    share: list[float] | None = None,
    loop: bool = False,
) -> list[Bytes]:
    count = len(frames)
    follower, carrier = Follower(steadiness, {}, count if loop else None), Carrier({})
    mixes = [ALL * part for part in share or [1.0] * count]
    lead = range(count - follower.lead, count) if loop else ()
    got = [
        carrier.carry(painted[n], follower.follow(frames[n], mixes[n], with_state=False, index=n))
        for n in (*lead, *range(count))
    ]
    return got[-count:]


def strokes(count: int, height: int, width: int) -> list[Bytes]:
    """What a network that flickers as much as can be might paint: other strokes on every frame."""
    rng = np.random.default_rng(3)
    return [rng.integers(40, 216, (height, width, 3), np.uint8) for _ in range(count)]


def test_the_flow_of_a_pan_is_found() -> None:
    before, now = clips.pan(2, 160, 120, 3)
    step = step_back(guide(before), guide(now))
    assert step is not None
    down, across = np.mgrid[:120, :160]
    moved = step.place - np.dstack((across, down))
    inner = step.trust[10:-10, 10:-10] > 0.9
    assert inner.mean() > 0.8
    assert np.abs(moved[10:-10, 10:-10][inner] - (3, 0)).mean() < 0.15


def test_strokes_move_with_the_picture() -> None:
    """The same strokes lie on the same things, a pan later."""
    frames = clips.pan(6, 160, 120, 2)
    painted = strokes(6, 120, 160)
    got = carried(frames, painted)
    wanted = painted[0][20:100, 10 + 10 : 140 + 10]
    assert (
        np.abs(got[5][20:100, 10:140].astype(int) - wanted).mean()
        < 0.25 * np.abs(painted[5][20:100, 10:140].astype(int) - wanted).mean()
    )


def test_a_long_still_picture_ends_as_it_began() -> None:
    """`benchmarks.video --drift 3000` for longer."""
    still = photo("coffee", 24)
    painted = strokes(1, 24, 24)[0]
    follower, carrier = Follower(1.0, {}), Carrier({})
    for _ in range(300):
        got = carrier.carry(painted, follower.follow(still, ALL, with_state=False))
    assert (got == painted).all()


def test_noise_does_not_darken_nor_wash_out() -> None:
    """Of a camera on a stand, in a dark room, and of a network that flickers."""
    rng = np.random.default_rng(5)
    still = photo("astronaut", 64).astype(int)
    frames = [(still + rng.integers(-6, 7, still.shape)).clip(0, 255).astype(np.uint8) for _ in range(400)]
    painted = strokes(400, 64, 64)
    got = carried(frames, painted, 1.0)
    ends, begins = np.stack(got[-40:]).astype(float), np.stack(painted[:40]).astype(float)
    assert abs(ends.mean() - begins.mean()) < 2
    assert 0.85 < ends.std((1, 2)).mean() / begins.std((1, 2)).mean() < 1.15


def test_a_cut_is_clean() -> None:
    """Nothing of one scene is seen in the next, nor of one style in the next where that jumps."""
    frames = [*clips.pan(5, 96, 64, 1), *clips.pan(5, 96, 64, 1, "chelsea")]
    painted = strokes(10, 64, 96)
    got = carried(frames, painted)
    assert (got[5] == painted[5]).all()
    still = [photo("coffee", 64)] * 4
    painted = strokes(4, 64, 64)
    got = carried(still, painted, share=[1, 1, 0, 0])
    assert (got[1] == painted[0]).all()
    assert (got[2] == painted[2]).all()


def test_what_comes_into_sight_is_painted_anew() -> None:
    """No ghosts: behind something that moves there is what the network makes of it."""
    rng = np.random.default_rng(0)
    field = rng.integers(60, 120, (20, 24), np.uint8)
    field = np.kron(field, np.ones((8, 8), np.uint8))[:160, :192, None].repeat(3, 2)
    thing = np.kron(rng.integers(150, 250, (6, 6), np.uint8), np.ones((8, 8), np.uint8))[:, :, None].repeat(3, 2)
    frames = []
    for n in range(8):
        frame = field.copy()
        frame[56:104, 20 + 6 * n : 68 + 6 * n] = thing
        frames.append(frame)
    painted = [np.full(field.shape, 200, np.uint8) for _ in frames]
    for n, each in enumerate(painted):
        each[56:104, 20 + 6 * n : 68 + 6 * n] = 30  # what the network makes of the thing
    got = carried(frames, painted)
    uncovered = got[7][60:100, 20:60]
    assert np.median(uncovered) > 190
    assert (uncovered < 100).mean() < 0.02


@pytest.mark.parametrize(("count", "step", "steadiness"), [(10, 10, 0.7), (24, 4, 0.3), (24, 4, 0.7), (40, 4, 1.0)])
def test_a_loops_last_frame_meets_its_first(count: int, step: int, steadiness: float) -> None:
    """A camera that goes once around: from the last frame to the first is a step as the others."""
    frames = clips.around(count, 64, step)
    painted = strokes(count, 64, step * count)
    seam, *others = clips.steps(carried(frames, painted, steadiness, loop=True), step)
    assert seam <= 1.1 * max(others)
    assert seam <= 1.5 * np.median(others)
    assert clips.steps(carried(frames, painted, steadiness), step)[0] > 1.5 * seam, "which had to be mended"


@pytest.mark.parametrize("steadiness", [0.1, 0.5, 1.0])
def test_it_calms(steadiness: float) -> None:
    frames = clips.pan(30, 96, 64, 1)
    painted = strokes(30, 64, 96)
    got = carried(frames, painted, steadiness)
    inner = [frame[8:-8, 8:-8].astype(int) for frame in got]
    moved = [np.abs(now[:, :-1] - before[:, 1:]).mean() for before, now in pairwise(inner)]
    alone = np.abs(painted[1][8:-8, 8:-9].astype(int) - painted[0][8:-8, 9:-8]).mean()
    assert np.mean(moved) < {0.1: 0.8, 0.5: 0.4, 1.0: 0.35}[steadiness] * alone
