"""Frames that are painted alone flicker: what stood on one is carried on to the next, as far as it is still there."""

from typing import Final

from app.video.flow import Carry, Flow, carried, guide
from app.video.frames import Bytes
from app.video.store import State

MOST_CARRIED: Final = 0.9  # of a picture, at steadiness 1: the rest is painted anew, so that nothing drifts


class Follower:
    """Finds what can be carried from each frame to the next; `state` is what an earlier one has left."""

    def __init__(self, state: State) -> None:
        self._flow = Flow()
        self._before = state.get("guide")

    def follow(self, rgb: Bytes) -> tuple[Bytes, Carry | None]:
        """The grey picture of a frame, (H, W, 3), and what can be carried on to it; None at the first and at a cut."""
        now = guide(rgb)
        carry = None if self._before is None else self._flow.carry(self._before, now)
        self._before = now
        return now, carry


class Carrier:
    """Carries on what was painted, frame after frame; `state` is what an earlier one has left."""

    def __init__(self, steadiness: float, state: State) -> None:
        self._weight = MOST_CARRIED * steadiness
        self._before: Bytes | None = state.get("picture")
        self._guide: Bytes | None = state.get("guide")

    def carry(self, painted: Bytes, guide: Bytes | None, carry: Carry | None) -> Bytes:
        """The picture of a frame, (H, W, 3), from what the network made of it alone."""
        if carry is not None and self._before is not None:
            painted = carried(self._before, painted, carry, self._weight)
        self._before, self._guide = painted, guide
        return painted

    def forget(self) -> None:
        """There was nothing to be painted."""
        self._before = None

    @property
    def state(self) -> State:
        """What the next one has to know."""
        parts = {"guide": self._guide, "picture": self._before}
        return {name: part for name, part in parts.items() if part is not None}
