"""Traces by OpenTelemetry, sent by OTLP over HTTP: a span a request, and in it one for each stage of its way.

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

EXPORT_SECONDS: Final = 2.0
NANOSECONDS: Final = 1e9


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

    def stop(self) -> None:
        self._provider.shutdown()


class OtelTrace(Trace):
    """One that is recorded."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        super().__init__(f"{span.get_span_context().trace_id:032x}")
        self._tracer = tracer
        self._span = span
        self._offset = time.time() - time.monotonic()

    def stage(self, name: str, since: float, until: float, **facts: float) -> None:
        context = set_span_in_context(self._span)
        attributes = {f"impasto.{fact}": number for fact, number in facts.items()}
        span = self._tracer.start_span(name, context, attributes=attributes, start_time=self._nanoseconds(since))
        span.end(self._nanoseconds(until))

    def end(self, route: str, status: int) -> None:
        self._span.update_name(f"{self._span.name} {route}".strip())  # type: ignore[attr-defined]
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if route:
            self._span.set_attribute("http.route", route)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def _nanoseconds(self, at: float) -> int:
        return int((at + self._offset) * NANOSECONDS)
