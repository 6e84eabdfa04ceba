"""What the routes share for the life of an application."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, Final, ParamSpec, TypeVar

from app.configured import picture_limits
from app.engine.base import Engine
from app.http.metrics import Metrics
from app.http.problems import NOT_READY, QUEUE_FULL, SHUTTING_DOWN, Problem
from app.queue.batching import BatchingQueue
from app.queue.hooks import Hooks
from app.queue.work import Refused
from app.settings import Settings
from app.styles.library import StyleLibrary
from app.styles.ready import SHIPPED, ready_styles

logger = logging.getLogger("impasto")

# A batch that is running when the grace time is over may still end in this time.
STOP_SECONDS: Final = 1.0
# What was given up then has this time to be told so.
LAST_SECONDS: Final = 1.0

EXIT_STATUS: Final = 1

P = ParamSpec("P")
R = TypeVar("R")


class Service:
    """The queue with its engines, one a device, the styles remembered, the picture threads, the metrics."""

    def __init__(self, settings: Settings, engines: Sequence[Callable[[], Engine]]) -> None:
        self.settings = settings
        self.limits = picture_limits(settings)
        self.metrics = Metrics()
        folders = (SHIPPED, *((settings.styles_dir,) if settings.styles_dir else ()))
        self.ready = ready_styles(folders, settings.max_pixels)
        self.library = StyleLibrary(
            settings.style_cache_bytes, {name: style.path for name, style in self.ready.items()}
        )
        self.queue = BatchingQueue(
            engines,
            self.library,
            settings.batch_pixels,
            settings.queue_seconds,
            Hooks(
                batch=self.metrics.batches.observe,
                step=lambda priority, seconds: self.metrics.network.labels(priority).inc(seconds),
                shared=self.metrics.shared.inc,
                dropped=self.metrics.dropped.inc,
                lost=lambda reason: self.metrics.lost.labels(reason).inc(),
                hopeless=self._give_up,
            ),
            settings.stuck_seconds,
        )
        self.metrics.watch(self.queue)
        # On its way out: first /readyz is red, then new work is refused, in the end what is in flight is given up.
        self.leaving = False
        self.draining = False
        self.ended = False
        self._in_flight = 0
        self._exchanges: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads = ThreadPoolExecutor(settings.image_threads, "impasto-images")

    async def start(self) -> None:
        """Load the engine and warm it up; raises what kept it from it."""
        await asyncio.get_running_loop().run_in_executor(None, self.queue.start)
        self.metrics.info.info({"version": version("impasto"), "engine": self.queue.engine_name})

    async def stop(self) -> None:
        """Stop the worker and the picture threads; what is still running then is given up."""
        self.draining = True
        await asyncio.get_running_loop().run_in_executor(None, self.queue.close, STOP_SECONDS)
        self._threads.shutdown(wait=False)

    async def drain(self) -> None:
        """Refuse new work from now on, and wait until what is in flight has been answered."""
        self.leaving = self.draining = True
        await self._idle.wait()

    async def end(self) -> None:
        """Give up what is in flight: whoever has no answer yet gets 503."""
        self.leaving = self.draining = True
        await asyncio.get_running_loop().run_in_executor(None, self.queue.close, STOP_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._idle.wait()
        self.ended = True
        for exchange in self._exchanges:
            exchange.cancel()

    def _give_up(self, reason: str) -> None:
        """End the process with an error, to be started again, once who waits is told so; from a thread of the queue."""
        logger.critical("%s; the process ends, to be started again", reason)
        self.leaving = self.draining = True
        self.queue.close(0)
        until = time.monotonic() + LAST_SECONDS
        while self._exchanges and time.monotonic() < until:
            time.sleep(0.01)
        logging.shutdown()
        os._exit(EXIT_STATUS)

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run picture work off the event loop, at most `image_threads` at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def check_ready(self) -> None:
        """Raise the Problem for which a load balancer should send work elsewhere."""
        if self.leaving:
            raise Problem(SHUTTING_DOWN, "the service is about to stop", retry_after=1)
        self._check_serving()
        if not self.queue.alive:
            raise Problem(NOT_READY, f"a worker {self._trouble}", retry_after=2)
        try:
            self.queue.admit(self.settings.request_timeout)
        except Refused as refused:
            raise queue_full(refused) from None

    def check_open(self, deadline: float) -> None:
        """Raise the Problem for which a request is turned away before its upload is read."""
        self._check_serving()
        try:
            self.queue.admit_unread(deadline - time.monotonic())
        except Refused as refused:
            raise queue_full(refused) from None

    @property
    def _trouble(self) -> str:
        return "does not move on" if self.queue.stuck else "is not running; it is being restarted"

    def _check_serving(self) -> None:
        if self.draining:
            raise Problem(SHUTTING_DOWN, "the service is stopping and takes no new work", retry_after=1)
        if not self.queue.serving:
            raise Problem(NOT_READY, f"the worker {self._trouble}", retry_after=2)
        if self._in_flight >= self.settings.max_requests:
            raise Problem(
                QUEUE_FULL,
                f"{self._in_flight} requests are being served, the most there may be",
                limit=self.settings.max_requests,
                retry_after=self.queue.backlog_seconds,
            )

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Count a request to /stylize as held."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    @contextmanager
    def exchanging(self) -> Iterator[None]:
        """Count any request as in flight, until the last byte of its answer is sent."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._exchanges.add(task)
        self._idle.clear()
        try:
            yield
        finally:
            self._exchanges.discard(task)
            if not self._exchanges:
                self._idle.set()


def queue_full(refused: Refused) -> Problem:
    """The answer to work the queue refused."""
    return Problem(QUEUE_FULL, str(refused), limit=refused.limit, retry_after=refused.retry_after)
