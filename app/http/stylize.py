"""POST /stylize: one request's way from bytes to bytes."""

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.access.clients import Client
from app.http.access import client_of, count_pixels
from app.http.fields import Asked, invalid_field, read_fields
from app.http.forms import Form
from app.http.incoming import deadline_passed, upload
from app.http.kept import result_key
from app.http.metrics import STAGES
from app.http.problems import (
    INTERNAL_ERROR,
    SHUTTING_DOWN,
    STORAGE_FULL,
    TYPES,
    Problem,
)
from app.http.service import Service, queue_full
from app.http.submit import prefers_async, submit
from app.http.traces import trace_of
from app.images.encode import MEDIA_TYPES
from app.images.negotiation import choose_format
from app.images.processes import ProcessFailed
from app.pipeline import FieldError, Prepared, SizeError, StyleForgotten, fault, finish, prepare, unreadable
from app.queue.work import DeadlinePassed, Done, QueueError, Refused, StorageFull, StylePicture, Work

REFUSALS: Final = ("queue-full", "not-ready", "shutting-down", "storage-full", "deadline-passed", "rate-limited")
CLIENT_CLOSED_REQUEST: Final = 499

T = TypeVar("T")


async def stylize(request: Request) -> Response:
    """Answer one request, and count how it ended."""
    service: Service = request.app.state.service
    if prefers_async(request) and service.jobs.up:
        return await submit(request)
    outcome = INTERNAL_ERROR.name
    try:
        response = await _stylize(request, service)
        outcome = "ok"
    except Problem as problem:
        outcome = problem.kind.name
        if outcome in REFUSALS:
            service.metrics.refusals.labels(outcome).inc()
        raise
    except ClientDisconnect:
        outcome = "client-disconnected"
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        service.metrics.requests.labels(outcome).inc()
    return response


async def _stylize(request: Request, service: Service) -> Response:
    since = time.monotonic()
    timeout = _timeout(request, service.settings.request_timeout)
    client = client_of(request)
    service.check_open(since + timeout, client)
    form = await upload(request, service.uploads, service.request_limits, since, timeout)
    try:
        with service.serving(client):
            async with asyncio.timeout(since + timeout - time.monotonic()):
                return await _unless_disconnected(request, _answer(request, service, form, since, timeout))
    except TimeoutError:
        raise deadline_passed(timeout) from None
    except ProcessFailed as error:
        raise Problem(SHUTTING_DOWN if service.draining else INTERNAL_ERROR, str(error)) from None
    finally:
        form.close()


def _timeout(request: Request, longest: float) -> float:
    """The request's time in seconds: the setting, or less where X-Request-Timeout says so."""
    text = request.headers.get("x-request-timeout")
    if text is None:
        return longest
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise invalid_field("X-Request-Timeout", f"expected seconds greater than 0; found {text[:50]!r}", 0)
    return min(seconds, longest)


async def _unless_disconnected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work, or drop it and raise ClientDisconnect the moment the client hangs up."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer(request: Request, service: Service, form: Form, since: float, timeout: float) -> Response:
    uploaded = time.monotonic()
    asked, prepared = await service.in_thread(_prepare, form, service)
    misses = sum(isinstance(style, StylePicture) for style in prepared.work.styles)
    service.metrics.styles.labels("miss").inc(misses)
    service.metrics.styles.labels("hit").inc(len(asked.styles) - misses)
    format = choose_format(asked.options.format, ", ".join(request.headers.getlist("accept")), prepared.photo.format)
    headers = {"Vary": "Accept"}
    key = await service.in_thread(result_key, prepared, asked.options, format) if service.kept.max_bytes else b""
    body = service.kept.get(key)
    queue_seconds, network_seconds, batch_size = 0.0, 0.0, 0
    decoded = stylised = time.monotonic()
    if body is not None:
        service.metrics.kept.inc()
        headers["Cache-Status"] = "impasto; hit"
    else:
        client = client_of(request)
        height, width = prepared.photo.rgb.shape[:2]
        await count_pixels(service, client, height * width)
        done = await _done(service, prepared.work, since + timeout, timeout, client)
        queue_seconds, network_seconds, batch_size = done.queue_seconds, done.network_seconds, done.batch_size
        stylised = time.monotonic()
        try:
            body = await service.in_thread(finish, prepared, done.pixels, asked.options, format, service.codec)
        except FieldError as error:
            raise invalid_field(error.field, str(error)) from None
        if key:
            stored = "; stored" if service.kept.keep(key, body) else ""
            headers["Cache-Status"] = f"impasto; fwd=miss{stored}"
    encoded = time.monotonic()
    times = (decoded - uploaded, queue_seconds, network_seconds, encoded - stylised)
    trace = trace_of(request)
    trace.stage("upload", since, uploaded)
    trace.stage("decode", uploaded, decoded)
    if batch_size:
        trace.stage("queue", decoded, stylised - network_seconds)
        trace.stage("network", stylised - network_seconds, stylised, batch_size=batch_size)
        trace.stage("encode", stylised, encoded)
    for stage, seconds in zip(STAGES, times, strict=True):
        service.metrics.stages.labels(stage).observe(seconds)
    service.metrics.seconds.observe(encoded - since)
    headers["Server-Timing"] = ", ".join(f"{s};dur={1000 * t:.1f}" for s, t in zip(STAGES, times, strict=True))
    headers["X-Batch-Size"] = str(batch_size)
    names = [style.name for style in asked.styles if style.file is not None and style.name in service.library]
    if names:
        headers["X-Style-Id"] = ", ".join(names)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[format])


async def _done(service: Service, work: Work, deadline: float, timeout: float, client: Client) -> Done:
    """What the network makes of it. Raises the Problem for which it is not made."""
    try:
        return await service.queue.run(work, deadline, client=client.name)
    except Refused as refused:
        raise queue_full(refused) from None
    except DeadlinePassed:
        raise deadline_passed(timeout) from None
    except StorageFull as error:
        raise Problem(STORAGE_FULL, str(error), retry_after=5) from None
    except QueueError as error:
        raise Problem(SHUTTING_DOWN if service.draining else INTERNAL_ERROR, str(error)) from None


def _prepare(form: Form, service: Service) -> tuple[Asked, Prepared]:
    """Check the fields and decode the pictures; for a thread."""
    settings = service.settings
    asked = read_fields(form, service.library, max_size=settings.max_size, max_style_size=settings.max_style_size)
    masks = [mask.data for mask in asked.masks]
    try:
        prepared = prepare(
            asked.content.data, asked.styles, masks, asked.options, service.library, service.limits, service.codec
        )
    except FieldError as error:
        found = unreadable(error, asked.styles, masks, asked.options, service.limits, service.codec)
        name, detail, members = fault(found)
        raise Problem(TYPES[name], detail, **members) from None
    except SizeError as error:
        raise invalid_field("size", str(error), error.limit) from None
    except StyleForgotten as error:
        raise invalid_field("style_id", str(error)) from None
    return asked, prepared
