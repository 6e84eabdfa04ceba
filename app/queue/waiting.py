"""What waits for a worker, in lines of one class and about one size, in which clients take turns."""

import math
from collections import deque

from app.queue.desk import FairShares
from app.queue.work import Item, Line, Priority


class Waiting:
    """Items by line, in order of arrival; several clients get as much done each. For one thread at a time."""

    def __init__(self) -> None:
        self._lines: dict[Line, deque[Item]] = {}
        self._clients: FairShares[str] = FairShares(lead=0.0)

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

    def remove(self, item: Item) -> bool:
        """Take an item out; False where it does not wait."""
        items = self._lines.get(item.line, ())
        if item in items:
            self._set(item.line, [one for one in items if one is not item])
            return True
        return False

    def take_batch(self, line: Line, budget: float) -> list[Item]:
        """Take the item of a line that is due, and those of its shape as they are, while the budget of pixels lasts."""
        left = list(self._lines[line])
        batch = [self._take_due(left, left)]
        shape, pixels = batch[0].work.shape, math.prod(batch[0].work.shape)
        fitting = [item for item in left if item.work.shape == shape]
        while fitting and pixels * (len(batch) + 1) <= budget:
            batch.append(self._take_due(fitting, left))
        self._set(line, left)
        return batch

    def _take_due(self, wanted: list[Item], left: list[Item]) -> Item:
        """The oldest item, of those wanted, of the client who is due; taken out of both lists."""
        client = self._clients.choose(list(dict.fromkeys(item.client for item in wanted)))
        due = next(item for item in wanted if item.client == client)
        wanted.remove(due)
        if left is not wanted:
            left.remove(due)
        self._clients.charge(client, due.pixels)
        return due

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
        return items

    def _set(self, line: Line, items: list[Item]) -> None:
        if items:
            self._lines[line] = deque(items)
        else:
            del self._lines[line]
