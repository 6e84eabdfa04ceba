"""Traces of requests: what `app.http.otel` records, and what takes its place where nothing is recorded."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from app.jobs.record import Job
from app.jobs.trace import JobTrace

# W3C Trace Context: version, trace, parent, flags.
TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Trace:
    """One request's; this one is not recorded, and knows only where in which trace the caller is (empty: in none)."""

    def __init__(self, trace_id: str, traceparent: str) -> None:
        self.trace_id = trace_id
        self.traceparent = traceparent

    def stage(self, name: str, since: float, until: float, **facts: float) -> None:
        """A part of the request's way, on the clock of time.monotonic, and what there is to say of it."""

    def end(self, route: str, status: int) -> None:
        """The answer is sent; `route` is the path as the API has it, status 0 where the client was gone."""


class Traces:
    """Begins one for each request, and for each attempt at a job."""

    def begin(self, scope: Scope, request_id: str) -> Trace:
        """A request has come."""
        told = TRACEPARENT.fullmatch(Headers(scope=scope).get("traceparent", ""))
        return Trace(told[1], told[0]) if told else Trace("", "")

    def begin_job(self, job: Job) -> JobTrace:
        """A job is begun, or begun again."""
        return JobTrace()

    def stop(self) -> None:
        """Send what is recorded, as far as that takes a moment."""


def trace_of(request: Request) -> Trace:
    """The request's own."""
    trace: Trace = request.scope["state"]["trace"]
    return trace
