"""POST /stylize: one request's way from bytes to bytes."""

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.files import DISK_FULL
from app.http.fields import FILE_FIELDS, Asked, Faults, invalid_field, read_fields
from app.http.forms import Form, read_form
from app.http.metrics import STAGES
from app.http.negotiation import choose_format
from app.http.problems import (
    DEADLINE_PASSED,
    INTERNAL_ERROR,
    SHUTTING_DOWN,
    STORAGE_FULL,
    TOO_MANY_PIXELS,
    UNREADABLE_IMAGE,
    UPLOAD_TIMEOUT,
    Problem,
)
from app.http.service import Service, queue_full
from app.images.encode import MEDIA_TYPES
from app.images.errors import TooManyPixels
from app.images.processes import ProcessFailed
from app.pipeline import FieldError, Prepared, SizeError, StyleForgotten, finish, prepare, unreadable
from app.queue.work import DeadlinePassed, QueueError, Refused, StorageFull, StylePicture

REFUSALS: Final = ("queue-full", "not-ready", "shutting-down", "storage-full", "deadline-passed")
CLIENT_CLOSED_REQUEST: Final = 499

T = TypeVar("T")


async def stylize(request: Request) -> Response:
    """Answer one request, and count how it ended."""
    service: Service = request.app.state.service
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
    service.check_open(since + timeout)
    with service.serving():
        form = await _upload(request, service, since, timeout)
        try:
            async with asyncio.timeout(since + timeout - time.monotonic()):
                return await _unless_disconnected(request, _answer(request, service, form, since, timeout))
        except TimeoutError:
            raise _deadline_passed(timeout) from None
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


async def _upload(request: Request, service: Service, since: float, timeout: float) -> Form:
    settings = service.settings
    try:
        async with asyncio.timeout(min(settings.upload_timeout, since + timeout - time.monotonic())):
            return await read_form(
                request.headers,
                request.stream(),
                file_fields=FILE_FIELDS,
                max_file_bytes=settings.max_file_bytes,
                max_request_bytes=settings.max_request_bytes,
            )
    except TimeoutError:
        if timeout <= settings.upload_timeout:
            raise _deadline_passed(timeout) from None
        detail = f"the upload was not complete after {settings.upload_timeout:g} seconds"
        raise Problem(UPLOAD_TIMEOUT, detail, limit=settings.upload_timeout) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise Problem(STORAGE_FULL, "the temporary folder is full", retry_after=5) from None


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
    decoded = time.monotonic()
    try:
        done = await service.queue.run(prepared.work, since + timeout)
    except Refused as refused:
        raise queue_full(refused) from None
    except DeadlinePassed:
        raise _deadline_passed(timeout) from None
    except StorageFull as error:
        raise Problem(STORAGE_FULL, str(error), retry_after=5) from None
    except QueueError as error:
        raise Problem(SHUTTING_DOWN if service.draining else INTERNAL_ERROR, str(error)) from None
    stylised = time.monotonic()
    format = choose_format(asked.options.format, ", ".join(request.headers.getlist("accept")), prepared.photo.format)
    try:
        body = await service.in_thread(finish, prepared, done.pixels, asked.options, format, service.codec)
    except FieldError as error:
        raise invalid_field(error.field, str(error)) from None
    encoded = time.monotonic()
    times = (decoded - uploaded, done.queue_seconds, done.network_seconds, encoded - stylised)
    for stage, seconds in zip(STAGES, times, strict=True):
        service.metrics.stages.labels(stage).observe(seconds)
    service.metrics.seconds.observe(encoded - since)
    headers = {
        "Server-Timing": ", ".join(f"{s};dur={1000 * t:.1f}" for s, t in zip(STAGES, times, strict=True)),
        "X-Batch-Size": str(done.batch_size),
        "Vary": "Accept",
    }
    names = [style.name for style in asked.styles if style.file is not None and style.name in service.library]
    if names:
        headers["X-Style-Id"] = ", ".join(names)
    return Response(body, headers=headers, media_type=MEDIA_TYPES[format])


def _deadline_passed(timeout: float) -> Problem:
    return Problem(DEADLINE_PASSED, f"the result was not ready within {timeout:g} seconds", limit=timeout)


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
        raise _unreadable(
            unreadable(error, asked.styles, masks, asked.options, service.limits, service.codec)
        ) from None
    except SizeError as error:
        raise invalid_field("size", str(error), error.limit) from None
    except StyleForgotten as error:
        raise invalid_field("style_id", str(error)) from None
    return asked, prepared


def _unreadable(found: Sequence[FieldError]) -> Problem:
    """One problem for every file that can't be read; the first decides what kind it is."""
    faults = Faults()
    for error in found:
        faults.add(error.field, str(error), error.cause.limit if isinstance(error.cause, TooManyPixels) else None)
    first, detail = faults.errors[0], "; ".join(f"{error.field}: {error}" for error in found)
    kind = TOO_MANY_PIXELS if "limit" in first else UNREADABLE_IMAGE
    members = {name: first[name] for name in ("field", "limit") if name in first}
    return Problem(kind, detail, **members, errors=faults.errors)
