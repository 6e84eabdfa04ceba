"""What the routes share for the life of an application."""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, ParamSpec, TypeVar

from app.access.clients import Client
from app.access.keys import Keys
from app.access.limits import Limits
from app.configured import configured_processes, picture_limits, video_limits
from app.engine.base import Engine
from app.http.kept import KeptResults
from app.http.metrics import Metrics
from app.http.problems import NOT_READY, QUEUE_FULL, SHUTTING_DOWN, Problem
from app.http.shown import job_info
from app.http.traces import Traces
from app.http.uploads import UploadLimits, Uploads
from app.images.codec import HERE, Codec
from app.images.processes import Processes
from app.jobs.archive import ArchiveLimits
from app.jobs.callback import Callbacks
from app.jobs.folder import default_folder
from app.jobs.home import Home, open_local
from app.jobs.jobs import Jobs
from app.jobs.jobs import Limits as JobLimits
from app.jobs.photos import Photos
from app.jobs.record import Job
from app.jobs.retention import Retention
from app.jobs.store import Store
from app.jobs.work import Kind
from app.queue.batching import BatchingQueue
from app.queue.hooks import Hooks
from app.queue.work import Refused
from app.settings import Settings
from app.styles.library import StyleLibrary
from app.styles.ready import SHIPPED, ready_styles
from app.styles.shared import SharedLibrary, weights_name

logger = logging.getLogger("impasto")

# A batch that is running when the grace time is over may still end in this time.
STOP_SECONDS: Final = 1.0
# What was given up then has this time to be told so.
LAST_SECONDS: Final = 1.0

EXIT_STATUS: Final = 1
NEEDED_FOR_VIDEOS: Final = ("av", "cv2")  # what the extra `video` brings

P = ParamSpec("P")
R = TypeVar("R")


class Service:
    """The queue with its engines, one a device, the styles remembered, the picture threads, the metrics."""

    def __init__(self, settings: Settings, engines: Sequence[Callable[[], Engine]]) -> None:
        self.settings = settings
        self.limits = picture_limits(settings)
        self.metrics = Metrics()
        requests, megapixels = settings.requests_per_minute or None, settings.megapixels_per_minute or None
        self.keys = Keys(settings.api_keys_file, requests, megapixels) if settings.api_keys_file else None
        self.limits_of_clients = Limits(settings.style_store)
        folders = (SHIPPED, *((settings.styles_dir,) if settings.styles_dir else ()))
        self.ready = ready_styles(folders, settings.max_pixels)
        self.library = self._library()
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
        self.uploads = Uploads(
            settings.max_uploads, settings.upload_share, settings.min_upload_rate, settings.upload_grace
        )
        self.metrics.watch(self.queue, self.uploads, self.library)
        self.traces = self._traces()
        self.kept = KeptResults(settings.result_cache_bytes)
        self.metrics.watch_kept(self.kept)
        self.request_limits = UploadLimits(settings.max_file_bytes, settings.max_request_bytes, settings.upload_timeout)
        self.job_limits = UploadLimits(
            settings.max_job_file_bytes,
            settings.max_job_request_bytes,
            settings.job_upload_timeout,
            settings.max_job_photos,
        )
        self.jobs = self._jobs()
        self.metrics.watch_jobs(self.jobs)
        # On its way out: first /readyz is red, then new work is refused, in the end what is in flight is given up.
        self.leaving = False
        self.draining = False
        self.ended = False
        self._in_flight = 0
        self._in_flight_of: Counter[Client] = Counter()
        self._exchanges: set[asyncio.Task[Any]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._threads = ThreadPoolExecutor(settings.image_processes or settings.image_threads, "impasto-images")
        self._processes: Processes | None = None

    def _traces(self) -> Traces:
        if not self.settings.otlp_endpoint:
            return Traces()
        from app.http.otel import OtelTraces  # an extra

        return OtelTraces(self.settings.otlp_endpoint)

    def _library(self) -> StyleLibrary:
        settings, ready = self.settings, {name: style.path for name, style in self.ready.items()}
        if not settings.style_store:
            return StyleLibrary(settings.style_cache_bytes, ready)
        from app.styles.redis_store import RedisStore  # redis is an extra

        store = partial(RedisStore, settings.style_store, settings.style_store_seconds)
        weights = weights_name(settings.encoder_weights, settings.decoder_weights)
        lookups = self.metrics.store_lookups
        return SharedLibrary(
            settings.style_cache_bytes, ready, store, weights, lambda result: lookups.labels(result).inc()
        )

    async def start(self) -> None:
        """Load the engine and warm it up; raises what kept it from it."""
        loop = asyncio.get_running_loop()
        self.library.start()
        await loop.run_in_executor(None, self.queue.start)
        self.metrics.info.info({"version": version("impasto"), "engine": self.queue.engine_name})
        self._processes = await loop.run_in_executor(None, configured_processes, self.settings)
        await self.jobs.start()

    @property
    def codec(self) -> Codec:
        """Who reads and writes picture files."""
        return self._processes or HERE

    async def stop(self) -> None:
        """Stop the worker and the picture threads; what is still running then is given up, but for jobs, which wait for
        the next start."""
        self.draining = True
        await self.jobs.stop()
        await asyncio.get_running_loop().run_in_executor(None, self.queue.close, STOP_SECONDS)
        await asyncio.get_running_loop().run_in_executor(None, self.library.stop)
        await asyncio.get_running_loop().run_in_executor(None, self.traces.stop)
        self._threads.shutdown(wait=False)
        if self._processes:
            self._processes.close()
        self.jobs.close()

    async def drain(self) -> None:
        """Refuse new work from now on, and wait until what is in flight has been answered."""
        self.leaving = self.draining = True
        await self.jobs.stop()
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
        """Run picture work off the event loop, as many at a time as there are threads or processes for it."""
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

    def check_taking(self, client: Client) -> None:
        """Raise the Problem for which a job is turned away before its upload is read."""
        self._check_draining()
        self._check_room(client)

    def check_open(self, deadline: float, client: Client) -> None:
        """Raise the Problem for which a request is turned away before its upload is read."""
        self._check_serving()
        self._check_room(client)
        try:
            self.queue.admit_unread(deadline - time.monotonic(), client.name)
        except Refused as refused:
            raise queue_full(refused) from None

    @property
    def _trouble(self) -> str:
        return "does not move on" if self.queue.stuck else "is not running; it is being restarted"

    def _check_serving(self) -> None:
        self._check_draining()
        if not self.queue.serving:
            raise Problem(NOT_READY, f"the worker {self._trouble}", retry_after=2)
        self._check_room()

    def _check_draining(self) -> None:
        if self.draining:
            raise Problem(SHUTTING_DOWN, "the service is stopping and takes no new work", retry_after=1)

    def _check_room(self, client: Client | None = None) -> None:
        most = self.settings.max_requests
        if self._in_flight >= most:
            text = f"{self._in_flight} requests are being served, the most there may be"
        elif client and client.has_key and self._in_flight_of[client] >= most * self.settings.client_share:
            text = f"{self._in_flight_of[client]} requests of this key are being served, the most there may be"
            most = self._in_flight_of[client]
        else:
            return
        raise Problem(QUEUE_FULL, text, limit=most, retry_after=self.queue.backlog_seconds)

    def _jobs(self) -> Jobs:
        settings = self.settings
        limits = JobLimits(
            settings.jobs_at_once,
            settings.max_jobs,
            max(1, int(settings.max_jobs * settings.client_share)),
            settings.job_attempts,
            Retention(settings.jobs_keep_seconds, settings.jobs_keep_bytes),
        )
        archives = ArchiveLimits(settings.max_job_photos, settings.max_job_file_bytes, settings.max_job_request_bytes)
        kinds: list[Kind] = [Photos(self.library, replace(self.limits, max_size=settings.max_job_size), archives)]
        if all(find_spec(package) for package in NEEDED_FOR_VIDEOS):
            from app.jobs.videos import Videos

            kinds.insert(0, Videos(self.library, video_limits(settings), self.limits))
        return Jobs(
            self._home(kinds),
            kinds,
            self.queue,
            limits,
            self._callbacks if settings.callback_hosts else None,
            self.traces.begin_job,
            lambda state: self.metrics.jobs_ended.labels(state).inc(),
        )

    def _home(self, kinds: Sequence[Kind]) -> Callable[[], Home]:
        settings, folder = self.settings, self.settings.data_dir or default_folder()
        if settings.job_store is None:
            return partial(open_local, folder, settings.jobs_at_once)
        from app.jobs.shared.home import open_shared  # psycopg and procrastinate are an extra

        address, names = settings.job_store.get_secret_value(), [kind.name for kind in kinds]
        return partial(open_shared, address, folder, names, settings.jobs_at_once, settings.job_lost_seconds)

    def _callbacks(self, store: Store) -> Callbacks:
        secret = self.settings.callback_secret
        return Callbacks(store, self.settings.callback_hosts, secret.get_secret_value() if secret else "", self._told)

    def _told(self, job: Job) -> dict[str, Any]:
        info = job_info(job, self.settings.root_path, self.settings.jobs_keep_seconds)
        return info.model_dump(mode="json", exclude_none=True)

    @contextmanager
    def serving(self, client: Client) -> Iterator[None]:
        """Hold a place for the work of a request whose upload is here; raises the Problem that there is none."""
        self._check_room(client)
        self._in_flight += 1
        self._in_flight_of[client] += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._in_flight_of[client] -= 1
            if not self._in_flight_of[client]:
                del self._in_flight_of[client]

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
