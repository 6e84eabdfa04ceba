"""POST /jobs, and POST /stylize of those who will not wait: from a form to a job that is on disk."""

import hashlib
import io
import time
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.files import DISK_FULL
from app.http.access import client_of, count_pixels
from app.http.fields import Asked, invalid_field, read_fields
from app.http.forms import File, Form
from app.http.incoming import upload
from app.http.problems import JOB_STORE_DOWN, JOBS_OFF, QUEUE_FULL, STORAGE_FULL, TYPES, Problem
from app.http.service import Service
from app.http.shown import address, job_info
from app.http.traces import trace_of
from app.jobs.callback import CallbackRefused, check_callback
from app.jobs.folder import Unavailable
from app.jobs.intake import KeyReused, NewFile, NewJob, NoRoom, TooManyJobs
from app.jobs.record import Job
from app.jobs.store import StoreDown, StoreFull
from app.jobs.work import Fault

RETRY_SECONDS: Final = 30.0
DOWN_SECONDS: Final = 5.0
LONGEST_KEY: Final = 255
OF_KEY: Final = "key "
RESPOND_ASYNC: Final = "respond-async"


async def submit(request: Request) -> Response:
    """Take a job."""
    service: Service = request.app.state.service
    since = time.monotonic()
    client = client_of(request)
    service.check_taking(client)
    key = _key(request)
    try:
        incoming = service.jobs.incoming()
        form = await upload(request, service.uploads, service.job_limits, since, folder=incoming)
        try:
            with service.serving(client):
                new = await service.in_thread(_read, request, service, form, key)
                job = await service.jobs.accept(new, partial(count_pixels, service, client))
        finally:
            form.close()
    except Unavailable as error:
        raise jobs_off(error) from None
    except Fault as fault:
        raise Problem(TYPES[fault.problem], fault.detail, **fault.members) from None
    except KeyReused as error:
        raise invalid_field("Idempotency-Key", str(error)) from None
    except TooManyJobs as error:
        raise Problem(QUEUE_FULL, str(error), limit=error.limit, retry_after=RETRY_SECONDS) from None
    except NoRoom as error:
        raise Problem(STORAGE_FULL, str(error), limit=error.limit, retry_after=RETRY_SECONDS) from None
    except StoreFull:
        raise _disk_full() from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise _disk_full() from None
    return _accepted(request, service, job)


def prefers_async(request: Request) -> bool:
    """Whether the caller would rather have a job than wait (RFC 7240, 4.1)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(one.partition(";")[0].strip().lower() == RESPOND_ASYNC for one in preferences)


def owner_of(request: Request) -> str:
    """Who may list a job: the holder of a key, else whoever sends the same Authorization; empty for nobody."""
    client = client_of(request)
    if client.has_key:
        return f"{OF_KEY}{client.name}"
    secret = request.headers.get("authorization", "")
    return hashlib.sha256(secret.encode()).hexdigest() if secret else ""


def may_see(request: Request, job: Job) -> bool:
    """Whether a job is the caller's business: that of a key is its holder's alone, another of whoever knows its id."""
    return not job.owner.startswith(OF_KEY) or job.owner == owner_of(request)


def jobs_off(error: Unavailable) -> Problem:
    """The answer where no jobs are kept, or their store does not answer."""
    if isinstance(error, StoreDown):
        return Problem(JOB_STORE_DOWN, "the store of jobs does not answer", retry_after=DOWN_SECONDS)
    return Problem(JOBS_OFF, str(error))


def _disk_full() -> Problem:
    return Problem(STORAGE_FULL, "the folder of jobs is full", retry_after=RETRY_SECONDS)


def _key(request: Request) -> str:
    key: str = request.headers.get("idempotency-key", "")
    if len(key) > LONGEST_KEY:
        raise invalid_field("Idempotency-Key", f"expected at most {LONGEST_KEY} characters", LONGEST_KEY)
    return key


def _read(request: Request, service: Service, form: Form, key: str) -> NewJob:
    """Check the fields; for a thread."""
    settings = service.settings
    others = ("callback", *service.jobs.fields)
    asked = read_fields(
        form,
        service.library,
        max_size=settings.max_job_size,
        max_style_size=settings.max_style_size,
        max_contents=settings.max_job_photos,
        others=others,
    )
    return NewJob(
        contents=_files("content", asked.contents),
        styles=_styles(asked, service),
        masks=_files("mask", asked.masks, always_numbered=True),
        options=asked.options,
        accept=", ".join(request.headers.getlist("accept")),
        fields={name: tuple(form.texts[name]) for name in service.jobs.fields if name in form.texts},
        client=client_of(request).name,
        owner=owner_of(request),
        key=key,
        callback=_callback(form, service),
        traceparent=trace_of(request).traceparent,
    )


def _files(field: str, files: tuple[File, ...], always_numbered: bool = False) -> list[NewFile]:
    numbered = always_numbered or len(files) > 1
    return [
        NewFile(f"{field}[{n}]" if numbered else field, file.name, file.data, file.size) for n, file in enumerate(files)
    ]


def _styles(asked: Asked, service: Service) -> list[NewFile]:
    """The styles' pictures: a job outlives what the service remembers."""
    styles = []
    for style in asked.styles:
        if style.file is not None:
            size = style.file.seek(0, io.SEEK_END)
            styles.append(NewFile(style.field, style.name, style.file, size))
        elif (picture := service.library.picture(style.name)) is not None:
            styles.append(NewFile(style.field, style.name, io.BytesIO(picture), len(picture)))
        else:
            text = f"style {style.name} is remembered without its picture, which a job needs: upload it again"
            raise invalid_field(style.field, text)
    return styles


def _callback(form: Form, service: Service) -> str:
    urls = [url for url in form.texts.get("callback", []) if url]
    if len(urls) > 1:
        raise invalid_field("callback", f"given {len(urls)} times; once is expected", 1)
    if not urls:
        return ""
    try:
        check_callback(urls[0], service.settings.callback_hosts)
    except CallbackRefused as error:
        raise invalid_field("callback", str(error)) from None
    return urls[0]


def _accepted(request: Request, service: Service, job: Job) -> Response:
    root_path = request.scope["root_path"]
    headers = {"Location": address(job, root_path), "Cache-Control": "no-store"}
    if prefers_async(request):
        headers["Preference-Applied"] = RESPOND_ASYNC
    info = job_info(job, root_path, service.settings.jobs_keep_seconds)
    return JSONResponse(info.model_dump(mode="json", exclude_none=True), 202, headers)
