"""What operators watch, for Prometheus."""

from collections.abc import Sized
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from app.http.kept import KeptResults
from app.jobs.jobs import Jobs
from app.jobs.record import State
from app.queue.batching import BatchingQueue
from app.queue.hooks import Loss
from app.queue.work import Priority
from app.styles.library import StyleLibrary

ENDS: Final = (State.DONE, State.FAILED)
STAGES: Final = ("decode", "queue", "network", "encode")
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per application, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.info = Info("impasto", "The version, and what runs the network", registry=self._registry)
        self.requests = Counter(
            "impasto_requests",
            "Requests to /stylize by outcome: ok, client-disconnected, or the name of the problem answered",
            ["outcome"],
            registry=self._registry,
        )
        self.refusals = Counter(
            "impasto_refusals", "Requests turned away unserved, by reason", ["reason"], registry=self._registry
        )
        self.unauthorized = Counter(
            "impasto_unauthorized",
            "Requests answered 401, without a key or with an unknown one",
            registry=self._registry,
        )
        self.client_requests = Counter(
            "impasto_client_requests", "Requests for work, by the name of the key", ["client"], registry=self._registry
        )
        self.client_pixels = Counter(
            "impasto_client_pixels",
            "Pixels of results asked for, by the name of the key",
            ["client"],
            registry=self._registry,
        )
        self.stages = Histogram(
            "impasto_stage_seconds",
            "Time in each stage of a request that was answered with a picture",
            ["stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.seconds = Histogram(
            "impasto_request_seconds",
            "Time from a request's first byte to its answer, pictures only",
            buckets=SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "impasto_batch_size",
            "Pictures in each batch the network ran",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )
        self.styles = Counter(
            "impasto_style_cache",
            "Styles asked for, by whether their code was remembered",
            ["result"],
            registry=self._registry,
        )
        self.store_lookups = Counter(
            "impasto_style_store_lookups",
            "Questions to the store that replicas share, by how they ended: hit, miss, down, or malformed",
            ["result"],
            registry=self._registry,
        )
        self.kept = Counter(
            "impasto_kept_results", "Requests answered with a kept result, without the network", registry=self._registry
        )
        self.shared = Counter(
            "impasto_shared_results",
            "Requests answered with the result of an equal one that was in flight",
            registry=self._registry,
        )
        self.network = Counter(
            "impasto_network_seconds",
            "Time the network ran, by class of work: interactive or background",
            ["class"],
            registry=self._registry,
        )
        self.dropped = Counter(
            "impasto_dropped_batches",
            "Batches given up in the midst of it because nobody waited for them any longer",
            registry=self._registry,
        )
        self.lost = Counter(
            "impasto_lost_workers",
            "Workers lost and started again, by reason: died, device-error, or failures on one picture after another",
            ["reason"],
            registry=self._registry,
        )
        self.jobs_ended = Counter(
            "impasto_jobs_ended", "Jobs that ended, by state: done or failed", ["state"], registry=self._registry
        )
        for state in ENDS:
            self.jobs_ended.labels(state)
        for stage in STAGES:
            self.stages.labels(stage)
        for result in ("hit", "miss"):
            self.styles.labels(result)
        for result in ("hit", "miss", "down", "malformed"):
            self.store_lookups.labels(result)
        for reason in Loss:
            self.lost.labels(reason)
        for priority in Priority:
            self.network.labels(priority)

    def watch(self, queue: BatchingQueue, uploads: Sized, library: StyleLibrary) -> None:
        """Show the queue's depth, whether its workers live, and the uploads coming in, read at each scrape."""
        for name, text, read in (
            ("impasto_uploads", "Uploads coming in", lambda: len(uploads)),
            ("impasto_style_store_up", "0 while the shared store does not answer, else 1", lambda: library.store_up),
            ("impasto_queue_items", "Requests waiting for the network", lambda: queue.items),
            ("impasto_queue_pixels", "Work waiting for the network, in content pixels", lambda: queue.pixels),
            ("impasto_queue_seconds", "Work waiting or begun, in estimated seconds", lambda: queue.backlog_seconds),
            ("impasto_background_items", "Background items waiting for the network", lambda: queue.background_items),
            ("impasto_paused_batches", "Batches begun that wait while others have the network", lambda: queue.paused),
            ("impasto_workers_alive", "1 where every worker takes work, else 0", lambda: queue.alive),
            ("impasto_stuck_workers", "Workers in one step for many times what it should take", lambda: queue.stuck),
            ("impasto_pixels_per_second", "Rate of the network as last measured, in pixels", lambda: queue.rate),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def watch_kept(self, kept: KeptResults) -> None:
        """Show how much is kept of results."""
        text = "Memory that results kept for equal requests take, in bytes"
        Gauge("impasto_kept_bytes", text, registry=self._registry).set_function(lambda: kept.size)

    def watch_jobs(self, jobs: Jobs) -> None:
        """Show how many jobs there are and what they hold, read at each scrape."""
        gauge = Gauge("impasto_jobs", "Jobs kept, by state", ["state"], registry=self._registry)
        for state in (State.QUEUED, State.RUNNING, *ENDS):
            gauge.labels(state).set_function(partial(jobs.count, state))
        held = Gauge("impasto_jobs_bytes", "What all jobs hold on disk, in bytes", registry=self._registry)
        held.set_function(jobs.bytes)
        text = "0 while the Postgres in which replicas share jobs does not answer, else 1"
        Gauge("impasto_job_store_up", text, registry=self._registry).set_function(lambda: jobs.store_up)

    def text(self) -> tuple[bytes, str]:
        """The exposition and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
