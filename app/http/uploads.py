"""Places for uploads, apart from those for work: whoever only sends slowly keeps nobody else from being served.

Each upload has a time by which it has to go on: every byte puts it off by the time a byte may take, but never further
than the grace from now. So a body may pause, for as long as the grace, and not crawl. The slowest is the one whose time
comes first.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.http.problems import SLOW_UPLOAD, Problem


@dataclass(frozen=True)
class UploadLimits:
    """The most bytes of a file and of a request, seconds of an upload, and photos."""

    file_bytes: int
    request_bytes: int
    seconds: float
    contents: int = 1


class Uploads:
    """At most `most` bodies come in at once, and of one client at most its `share` of them, a number from 0 to 1.

    `rate` is the least a body may come at, in bytes a second; `grace` how long it may stay behind, in seconds.
    """

    def __init__(self, most: int, share: float, rate: float, grace: float) -> None:
        self.rate = rate
        self.grace = grace
        self._most = most
        self._most_of_one = max(1, int(most * share))
        self._places: set[Place] = set()
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    @asynccontextmanager
    async def place(self, client: str) -> "AsyncIterator[Place]":
        """Hold a place while a body comes in, which the slowest has to leave where there is none.

        Raises the Problem of an upload that was too slow.
        """
        place = Place(self, client)
        self._make_room(client)
        self._places.add(place)
        self._of[client] += 1
        try:
            async with place.timeout:
                yield place
        except TimeoutError:
            raise place.problem() from None
        finally:
            self._remove(place)

    def _make_room(self, client: str) -> None:
        if self._of[client] >= self._most_of_one:
            slowest = min((place for place in self._places if place.client == client), key=lambda place: place.due)
            slowest.yield_to(f"{self._most_of_one} uploads of one client, the most there may be", self._most_of_one)
        elif len(self._places) >= self._most:
            slowest = min(self._places, key=lambda place: place.due)
            slowest.yield_to(f"{self._most} uploads, the most there may be", self._most)
        else:
            return
        self._remove(slowest)

    def _remove(self, place: "Place") -> None:
        if place in self._places:
            self._places.remove(place)
            self._of[place.client] -= 1
            if not self._of[place.client]:
                del self._of[place.client]


class Place:
    """One upload's place."""

    def __init__(self, uploads: Uploads, client: str) -> None:
        self.client = client
        self._uploads = uploads
        self._clock = asyncio.get_running_loop().time
        self.due = self._clock() + uploads.grace
        self.timeout = asyncio.timeout_at(self.due)
        self._yielded: tuple[str, int] | None = None

    async def paced(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The stream, as long as it comes fast enough."""
        async for chunk in stream:
            self.due = min(self.due + len(chunk) / self._uploads.rate, self._clock() + self._uploads.grace)
            self.timeout.reschedule(self.due)
            yield chunk

    def yield_to(self, others: str, limit: int) -> None:
        """End the upload in favour of another."""
        self._yielded = (others, limit)
        if not self.timeout.expired():
            self.timeout.reschedule(self._clock())

    def problem(self) -> Problem:
        """Why it was ended."""
        if self._yielded:
            others, limit = self._yielded
            return Problem(SLOW_UPLOAD, f"it was the slowest of {others}", limit=limit)
        rate, grace = self._uploads.rate, self._uploads.grace
        return Problem(
            SLOW_UPLOAD, f"the body came at less than {rate:g} bytes a second for {grace:g} seconds", limit=rate
        )
