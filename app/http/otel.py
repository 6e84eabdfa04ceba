"""Traces by OpenTelemetry, sent by OTLP over HTTP: a span a request, and in it one for each stage of its way.

A job's attempts are spans in the trace of the request it came by, and its first parts are spans in these.

A caller's `traceparent` is taken over. OpenTelemetry's own variables (OTEL_*) say what is sampled, and more.
"""

import time
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import Scope

from app.http.traces import Trace, Traces
from app.jobs.attempt import INTERNAL_ERROR
from app.jobs.record import Job
from app.jobs.trace import JobTrace

EXPORT_SECONDS: Final = 2.0
NANOSECONDS: Final = 1e9
MOST_PARTS: Final = 100  # spans of one attempt; an hour's video has more segments than anybody reads
GONE: Final = "gone"  # forgotten, or begun again by another replica
PARTS: Final = {"photo": "photo", "video": "segment"}


class OtelTraces(Traces):
    """To the collector at `endpoint`, as http://collector:4318, in the background; what it does not take is dropped."""

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create({SERVICE_NAME: "impasto", SERVICE_VERSION: version("impasto")})
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1000))
        self._tracer = self._provider.get_tracer("impasto")
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, scope: Scope, request_id: str) -> Trace:
        context = self._propagator.extract(Headers(scope=scope))
        span = self._tracer.start_span(
            scope["method"],
            context,
            SpanKind.SERVER,
            {"http.request.method": scope["method"], "url.path": scope["path"], "impasto.request_id": request_id},
        )
        return OtelTrace(self._tracer, span)

    def begin_job(self, job: Job) -> JobTrace:
        context = self._propagator.extract({"traceparent": job.traceparent})
        facts: dict[str, str | int] = {
            "impasto.job_id": job.id,
            "impasto.job_kind": job.kind,
            "impasto.attempt": job.attempts,
        }
        return OtelJobTrace(self._tracer, self._tracer.start_span("job", context, SpanKind.CONSUMER, facts), job)

    def stop(self) -> None:
        self._provider.shutdown()


class OtelParts:
    """Spans within one that is recorded."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._context = set_span_in_context(span)
        self._offset = time.time() - time.monotonic()

    def add(self, name: str, since: float, until: float, **facts: float) -> None:
        """On the clock of time.monotonic."""
        attributes = {f"impasto.{fact}": number for fact, number in facts.items()}
        start = self._nanoseconds(since)
        self._tracer.start_span(name, self._context, attributes=attributes, start_time=start).end(
            self._nanoseconds(until)
        )

    def _nanoseconds(self, at: float) -> int:
        return int((at + self._offset) * NANOSECONDS)


class OtelTrace(Trace):
    """A request that is recorded."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(span))
        super().__init__(f"{span.get_span_context().trace_id:032x}", carrier.get("traceparent", ""))
        self._span = span
        self._parts = OtelParts(tracer, span)

    def stage(self, name: str, since: float, until: float, **facts: float) -> None:
        self._parts.add(name, since, until, **facts)

    def end(self, route: str, status: int) -> None:
        self._span.update_name(f"{self._span.name} {route}".strip())  # type: ignore[attr-defined]
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if route:
            self._span.set_attribute("http.route", route)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class OtelJobTrace(JobTrace):
    """An attempt that is recorded."""

    def __init__(self, tracer: Tracer, span: Span, job: Job) -> None:
        self._span = span
        self._name = PARTS.get(job.kind, "part")
        self._parts = OtelParts(tracer, span)
        self._count = 0

    def part(self, since: float, until: float) -> None:
        self._count += 1
        if self._count <= MOST_PARTS:
            self._parts.add(self._name, since, until)

    def end(self, job: Job | None) -> None:
        self._span.set_attribute("impasto.parts", self._count)
        self._span.set_attribute("impasto.job_state", job.state if job else GONE)
        if job and job.trouble:
            self._span.set_attribute("impasto.problem", job.trouble.problem)
            if job.trouble.problem == INTERNAL_ERROR:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()
