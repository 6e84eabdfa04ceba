"""Work side by side: what comes is made ready in one thread while what goes is put away in another, both bounded."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Full, Queue
from typing import Any, Final, TypeVar

T = TypeVar("T")
END: Final = object()
LOOK: Final = 0.1  # seconds between two looks whether anybody still wants what is ready


@contextmanager
def ahead(items: Iterator[T], most: int) -> Iterator[Iterator[T]]:
    """The same items, made in a thread of their own, `most` of them at once ahead of whoever takes them.

    What making them raises is raised where they are taken.
    """
    ready: Queue[Any] = Queue(most)
    left = threading.Event()

    def put(item: object) -> None:
        while not left.is_set():
            try:
                ready.put(item, timeout=LOOK)
            except Full:
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put((item, None))
                if left.is_set():
                    return
            put(END)
        except BaseException as error:  # raised where it is awaited
            put((None, error))

    def taken() -> Iterator[T]:
        while (item := ready.get()) is not END:
            made, error = item
            if error is not None:
                raise error
            yield made

    thread = threading.Thread(target=make, name="impasto-video-read", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        left.set()
        thread.join()


class Behind:
    """Calls made one by one in a thread of their own, `most` of them waiting at once; none after one that failed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pool = ThreadPoolExecutor(1, "impasto-video-write")
        self._waiting: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> "Behind":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Raises what an earlier call has raised."""
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._call, function, arguments))

    def finish(self) -> None:
        """Wait for all calls; raises what any of them has raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def _call(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._failed:
            return
        self._failed = True
        function(*arguments)
        self._failed = False
