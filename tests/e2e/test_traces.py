"""Traces as a collector gets them, over its real protocol, and JSON logs that name them."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from app.http.otel import MOST_PARTS, OtelTraces
from app.jobs.record import Asked, Job, State, Trouble
from app.options import Options
from tests.e2e import jobs
from tests.e2e.server import Server
from tests.e2e.test_operation import send, square, wait_until
from tests.video import clips

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes what OTLP exporters send, while it runs in `with`."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in sent.resource_spans:
                    for scope in resource.scope_spans:
                        collector.spans += scope.spans
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Server]:
    with Server({"otlp_endpoint": collector.url, "log_format": "json"}) as running:
        yield running


def facts(span: Span) -> dict[str, object]:
    values = {fact.key: fact.value for fact in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


def test_a_request_is_a_span_of_the_callers_trace_and_its_stages_are_spans_in_it(
    traced: Server, collector: Collector
) -> None:
    answer = send(traced, square(32), {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced-1"})
    assert answer.status_code == 200
    wait_until(lambda: len(collector.named("POST /stylize")) == 1)
    (request,) = collector.named("POST /stylize")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    told = facts(request)
    assert told["http.response.status_code"] == 200
    assert told["http.route"] == "/stylize"
    assert told["impasto.request_id"] == "traced-1"
    stages = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert [stage.name for stage in sorted(stages, key=lambda stage: stage.end_time_unix_nano)] == [
        "upload",
        "decode",
        "queue",
        "network",
        "encode",
    ]
    for stage in stages:
        assert stage.trace_id == request.trace_id
        assert stage.start_time_unix_nano <= stage.end_time_unix_nano <= request.end_time_unix_nano
    (network,) = [stage for stage in stages if stage.name == "network"]
    assert facts(network)["impasto.batch_size"] == 1


def test_a_line_of_the_log_is_an_object_that_names_request_and_trace(traced: Server) -> None:
    send(traced, b"no picture", {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "traced-2"})
    wait_until(lambda: "traced-2" in traced.log())
    lines = [json.loads(line) for line in traced.log().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "traced-2"]
    assert line["trace_id"] == TRACE
    assert (line["level"], line["method"], line["path"], line["status"]) == ("info", "POST", "/stylize", 422)
    assert line["milliseconds"] >= 0


def test_probes_are_not_traced_and_a_path_does_not_become_a_name(traced: Server, collector: Collector) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/styles/one", "/nowhere"):
        traced.client.get(path)
    wait_until(lambda: bool(collector.named("GET /styles/{id}")) and bool(collector.named("GET")))
    paths = {facts(span).get("url.path") for span in collector.spans}
    assert not paths & {"/healthz", "/readyz", "/metrics"}
    assert all(span.status.code != Status.STATUS_CODE_ERROR for span in collector.spans)


def within(collector: Collector, span: Span) -> list[str]:
    """The names of the spans in one, which they lie within."""
    inner = [one for one in collector.spans if one.parent_span_id == span.span_id]
    for one in inner:
        assert one.trace_id == span.trace_id
        assert span.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano
        assert one.end_time_unix_nano <= span.end_time_unix_nano
    return [one.name for one in sorted(inner, key=lambda one: one.end_time_unix_nano)]


def attempts(collector: Collector, where: str) -> list[Span]:
    """Spans of a job's attempts."""
    jobs = [span for span in collector.named("job") if facts(span)["impasto.job_id"] == where.rpartition("/")[2]]
    return sorted(jobs, key=lambda span: span.end_time_unix_nano)


def test_a_job_is_a_span_of_the_trace_it_came_by_and_its_photos_are_spans_in_it(
    traced: Server, collector: Collector
) -> None:
    traceparent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    where = jobs.accepted(jobs.send(traced.client, jobs.content(32), jobs.content(40), headers=traceparent))
    assert jobs.ended(traced.client, where)["state"] == "done"
    wait_until(lambda: bool(attempts(collector, where)) and bool(collector.named("POST /jobs")))
    (job,), (request,) = attempts(collector, where), collector.named("POST /jobs")
    assert (job.trace_id.hex(), job.parent_span_id) == (TRACE, request.span_id)
    told = facts(job)
    assert (told["impasto.job_kind"], told["impasto.job_state"]) == ("photo", "done")
    assert (told["impasto.attempt"], told["impasto.parts"]) == (1, 2)
    assert within(collector, job) == ["photo", "photo"]


def test_a_videos_segments_are_spans(traced: Server, collector: Collector, tmp_path: Path) -> None:
    where = jobs.accepted(jobs.send(traced.client, clips.phone(tmp_path / "clip.mov", 48, 32).read_bytes()))
    assert jobs.ended(traced.client, where)["state"] == "done"
    wait_until(lambda: bool(attempts(collector, where)))
    (job,) = attempts(collector, where)
    assert set(within(collector, job)) == {"segment"}


def test_a_job_that_goes_on_after_a_stop_stays_in_its_trace(collector: Collector, tmp_path: Path) -> None:
    settings = {"otlp_endpoint": collector.url, "data_dir": tmp_path}
    with Server(settings) as first:
        sent = jobs.send(first.client, jobs.content(32), jobs.content(512), size="2048")
        where = jobs.accepted(sent)
        wait_until(lambda: first.client.get(where).json()["progress"]["done"] > 0.05, 60)
    with Server(settings) as second:
        wait_until(lambda: second.client.get(where).json()["state"] == "running")
        assert second.client.delete(where).is_success
        wait_until(lambda: len(attempts(collector, where)) == 2)
    stopped, cancelled = attempts(collector, where)
    assert [facts(one)["impasto.job_state"] for one in (stopped, cancelled)] == ["queued", "gone"]
    assert stopped.trace_id == cancelled.trace_id
    assert stopped.parent_span_id == cancelled.parent_span_id


def test_spans_of_a_job_are_bounded_in_number_and_a_fault_of_ours_is_an_error(collector: Collector) -> None:
    traces = OtelTraces(collector.url)
    asked = Asked(contents=(), styles=(), masks=(), options=Options(), accept="", fields={})
    job = Job(id="many", client="", owner="", kind="video", state=State.RUNNING, created=1.0, asked=asked)
    trace = traces.begin_job(job)
    for _ in range(MOST_PARTS + 50):
        trace.part(time.monotonic(), time.monotonic())
    trouble = Trouble(problem="internal-error", detail="it was begun too often")
    trace.end(job.model_copy(update={"state": State.FAILED, "trouble": trouble}))
    traces.stop()
    (span,) = attempts(collector, "/jobs/many")
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert facts(span)["impasto.parts"] == MOST_PARTS + 50
    assert within(collector, span) == ["segment"] * MOST_PARTS


def test_without_a_collector_requests_go_on_and_the_stop_is_soon() -> None:
    with Collector() as gone:
        pass
    with Server({"otlp_endpoint": gone.url}) as server:
        assert send(server, square(32)).status_code == 200
        assert server.terminate() == 0
