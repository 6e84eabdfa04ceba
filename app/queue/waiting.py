"""What waits for a worker, in lines of one class and about one size."""

import math
from collections import deque

from app.queue.work import Item, Line, Priority


class Waiting:
    """Items by line, in order of arrival. For one thread at a time."""

    def __init__(self) -> None:
        self._lines: dict[Line, deque[Item]] = {}

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
        """Take the oldest item of a line and those of its shape, as long as the budget of pixels lasts."""
        batch: list[Item] = []
        left: list[Item] = []
        for item in self._lines[line]:
            pixels = math.prod(item.work.shape)
            if not batch or (item.work.shape == batch[0].work.shape and pixels <= budget):
                batch.append(item)
                budget -= pixels
            else:
                left.append(item)
        self._set(line, left)
        return batch

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
