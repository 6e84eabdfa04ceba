"""What waits for a worker, in lines of one class and about one size, in which clients take turns."""

import math
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from app.queue.work import Item, Line, Priority

REMEMBERED: Final = 1024  # clients of a line whose turn is ahead of others'


class Turns:
    """Start-time fair queueing (Goyal, Vin & Cheng 1996) among the clients of a line: each gets as much work done.

    An item's turn is settled when it comes, by what its client has put in before it: what of that is taken out of turn,
    to fill a batch, does not put off what still waits.
    """

    def __init__(self) -> None:
        self._turns: dict[Item, float] = {}
        self._next: dict[str, float] = {}  # of clients, where that is ahead of `_now`
        self._now = 0.0

    def add(self, item: Item) -> None:
        """Settle an item's turn."""
        turn = self._turns[item] = max(self._next.get(item.client, 0.0), self._now)
        self._next[item.client] = turn + item.pixels

    def ahead(self, client: str) -> float:
        """What each of the others gets done before the turn of a client's next item."""
        return max(0.0, self._next.get(client, 0.0) - self._now)

    def choose(self, wanted: Iterable[Item]) -> Item:
        """Whose turn it is, of these."""
        return min(wanted, key=self._turns.__getitem__)

    def served(self, batch: list[Item]) -> None:
        """A batch has gone to a worker; it was the first one's turn."""
        self._now = max(self._now, self._turns[batch[0]])
        for item in batch:
            del self._turns[item]
        if len(self._next) > REMEMBERED:
            self._next = {client: turn for client, turn in self._next.items() if turn > self._now}

    def dropped(self, item: Item) -> None:
        """An item has gone without being served."""
        del self._turns[item]
        if item.client in self._next:
            self._next[item.client] -= item.pixels


class Waiting:
    """Items by line, in order of arrival; several clients get as much done in each. For one thread at a time.

    An interactive one that has waited for more than `max_seconds`, since more came than was foreseen, goes first.
    """

    def __init__(self, max_seconds: float = math.inf) -> None:
        self._max_seconds = max_seconds
        self._lines: dict[Line, deque[Item]] = {}
        self._turns: dict[Line, Turns] = {}

    @property
    def lines(self) -> list[Line]:
        """Those in which somebody waits."""
        return list(self._lines)

    def items(self, priority: Priority | None = None) -> list[Item]:
        """All items, or those of a class."""
        lines = [line for line in self._lines if priority in (None, line.priority)]
        return [item for line in lines for item in self._lines[line]]

    def add(self, item: Item) -> None:
        """Put an item at the end of its line."""
        self._lines.setdefault(item.line, deque()).append(item)
        self._turns.setdefault(item.line, Turns()).add(item)

    def ahead(self, line: Line, client: str) -> float:
        """What each other client in a line gets done before the turn of a client's next item comes, in pixels."""
        return self._turns[line].ahead(client) if line in self._turns else 0.0

    def remove(self, item: Item) -> bool:
        """Take an item out; False where it does not wait."""
        items = self._lines.get(item.line, ())
        if item in items:
            self._set(item.line, [one for one in items if one is not item])
            self._turns[item.line].dropped(item)
            return True
        return False

    def take_batch(self, line: Line, budget: float) -> list[Item]:
        """Take the item of a line that is due, and those of its shape as they are, while the budget of pixels lasts."""
        left, turns = self._lines[line], self._turns[line]
        batch = [self._overdue(line) or turns.choose(left)]
        shape, pixels = batch[0].work.shape, math.prod(batch[0].work.shape)
        fitting = [item for item in left if item.work.shape == shape and item is not batch[0]]
        while fitting and pixels * (len(batch) + 1) <= budget:
            batch.append(turns.choose(fitting))
            fitting.remove(batch[-1])
        turns.served(batch)
        self._set(line, [item for item in left if item not in batch])
        return batch

    def _overdue(self, line: Line) -> Item | None:
        oldest = self._lines[line][0]
        overdue = line.priority is Priority.INTERACTIVE and time.monotonic() - oldest.since > self._max_seconds
        return oldest if overdue else None

    def take_late(self, now: float) -> list[Item]:
        """Take those whose time is over."""
        late = [item for item in self.items() if item.deadline <= now]
        for item in late:
            self.remove(item)
        return late

    def take_all(self) -> list[Item]:
        """Take what there is."""
        items = self.items()
        self._lines.clear()
        self._turns.clear()
        return items

    def _set(self, line: Line, items: list[Item]) -> None:
        if items:
            self._lines[line] = deque(items)
        else:
            del self._lines[line]
