"""The routes of jobs: what becomes of one, as it is now or as it goes on, and what came of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.responses import JSONResponse, Response

from app.http.files import JobFile
from app.http.gate import asked_method
from app.http.openapi import file_responses, job_operation, job_responses, problem_responses
from app.http.problems import (
    INVALID_REQUEST,
    JOB_NOT_DONE,
    JOB_STORE_DOWN,
    JOBS_OFF,
    NO_PREVIEW,
    QUEUE_FULL,
    RANGE_NOT_SATISFIABLE,
    STORAGE_FULL,
    UNKNOWN_CALLER,
    UNKNOWN_JOB,
    Problem,
)
from app.http.service import Service
from app.http.shown import JobInfo, JobList, job_info
from app.http.submit import jobs_off, may_see, owner_of, submit
from app.images.encode import MEDIA_TYPES as PICTURE_TYPES
from app.jobs.folder import Unavailable
from app.jobs.record import Job
from app.jobs.store import StoreFull
from app.video.formats import MEDIA_TYPES as VIDEO_TYPES

router = APIRouter(tags=["jobs"])

PING_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 5.0
RESULTS: Final = dict.fromkeys((*PICTURE_TYPES.values(), *VIDEO_TYPES.values()))
EVENT: Final = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "description": "to be sent as Last-Event-ID"},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "the job"},
    },
}
NOT_STORED: Final = {"Cache-Control": "no-store"}
# What a result is never changes, but it goes with its job.
PRIVATE: Final = {"Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}

DESCRIPTION = """The fields of /stylize, `content` one or more photos or a zip archive of them, and `callback`. What is
answered with 202 is on disk: it is done whatever becomes of this connection, or of the service in between. With an
`Idempotency-Key` the same request may be sent again, and gives the same job."""

router.add_api_route(
    "/jobs",
    submit,
    methods=["POST"],
    status_code=202,
    summary="Repaint photos, in a job that outlives the connection",
    description=DESCRIPTION,
    response_class=Response,
    responses=job_responses(),
    openapi_extra=job_operation(),
)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _shown(request: Request, job: Job) -> JobInfo:
    return job_info(job, request.scope["root_path"], _service(request).settings.jobs_keep_seconds)


def _json(info: JobInfo | JobList) -> Response:
    return JSONResponse(info.model_dump(mode="json", exclude_none=True), headers=NOT_STORED)


async def _job(request: Request, id: str) -> Job:
    try:
        job = await _service(request).jobs.get(id)
    except Unavailable as error:
        raise jobs_off(error) from None
    if job is None or not may_see(request, job):
        raise Problem(UNKNOWN_JOB, f"no job {id[:64]} is known", field="id")
    return job


@router.get(
    "/jobs",
    summary="The caller's jobs, newest first",
    response_model=JobList,
    responses=problem_responses(UNKNOWN_CALLER, INVALID_REQUEST, JOBS_OFF, JOB_STORE_DOWN),
)
async def jobs(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100, description="most jobs in the answer")] = 20,
    before: Annotated[str | None, Query(max_length=64, description="id of a job: only older ones")] = None,
) -> Response:
    """Those of the caller's key. Where the service asks for none, those sent with the same `Authorization` header,
    whatever is in it: a secret of the caller's own. Jobs sent without one are listed to nobody.
    """
    owner = owner_of(request)
    if not owner:
        problem = Problem(UNKNOWN_CALLER, "the request has no Authorization header", field="Authorization")
        problem.headers["WWW-Authenticate"] = "Bearer"
        raise problem
    try:
        found = await _service(request).jobs.page(owner, limit + 1, before)
    except Unavailable as error:
        raise jobs_off(error) from None
    shown = [_shown(request, job) for job in found[:limit]]
    more = f"{request.scope['root_path']}/jobs?limit={limit}&before={shown[-1].id}" if len(found) > limit else None
    return _json(JobList(jobs=shown, next=more))


@router.get(
    "/jobs/{id}",
    summary="A job",
    response_model=JobInfo,
    responses=problem_responses(UNKNOWN_JOB, JOBS_OFF, JOB_STORE_DOWN),
)
async def job(request: Request, id: str) -> Response:
    return _json(_shown(request, await _job(request, id)))


@router.get(
    "/jobs/{id}/events",
    summary="A job, again at every change, as server-sent events",
    response_class=Response,
    responses={
        200: {"content": {EventSourceResponse.media_type: {"schema": EVENT}}},
        204: {"description": "nothing more will come than what Last-Event-ID says was seen"},
        **problem_responses(UNKNOWN_JOB, QUEUE_FULL, JOBS_OFF, JOB_STORE_DOWN),
    },
)
async def events(request: Request, id: str) -> Response:
    """Each event is the job as `GET /jobs/{id}` shows it; the last one has a state that ends it. With `Last-Event-ID`,
    as browsers send it when they connect again, what was seen is not told again."""
    service = _service(request)
    if service.jobs.board.listeners >= service.settings.max_listeners:
        raise Problem(
            QUEUE_FULL,
            f"{service.settings.max_listeners} connections listen to events, the most there may be",
            limit=service.settings.max_listeners,
            retry_after=RETRY_SECONDS,
        )
    job = await _job(request, id)
    seen = request.headers.get("last-event-id", "")
    if job.state.ended and seen == str(job.version):
        return Response(status_code=204)
    headers = NOT_STORED | {"X-Accel-Buffering": "no"}
    if asked_method(request.scope) == "HEAD":
        return Response(headers=headers, media_type=EventSourceResponse.media_type)
    return EventSourceResponse(_events(request, id, seen), headers=headers)


async def _events(request: Request, id: str, seen: str) -> AsyncIterator[bytes]:
    jobs = _service(request).jobs
    with jobs.board.listening(id) as next_change:
        try:
            job = await jobs.get(id)
        except Unavailable:
            return  # whoever listens comes again
        while job is not None:
            if str(job.version) != seen:
                seen = str(job.version)
                text = _shown(request, job).model_dump_json(exclude_none=True)
                yield format_sse_event(data_str=text, id=seen)
            if job.state.ended:
                return
            try:
                job = await asyncio.wait_for(next_change(), PING_SECONDS)
            except TimeoutError:
                yield KEEPALIVE_COMMENT


@router.get(
    "/jobs/{id}/result",
    summary="The file a job came to",
    response_class=Response,
    responses={
        **file_responses("what the job came to", *RESULTS),
        304: {"description": "it is what If-None-Match says is known"},
        **problem_responses(UNKNOWN_JOB, JOB_NOT_DONE, RANGE_NOT_SATISFIABLE, JOBS_OFF, JOB_STORE_DOWN),
    },
)
async def result(request: Request, id: str) -> Response:
    """Any range of it, too, as a player asks for them."""
    job = await _job(request, id)
    if job.outcome is None:
        retry = None if job.state.ended else RETRY_SECONDS
        raise Problem(JOB_NOT_DONE, f"the job is {job.state}", retry_after=retry)
    etag = f'"{job.id}"'
    if etag in (one.strip() for one in request.headers.get("if-none-match", "").split(",")):
        return Response(status_code=304, headers=PRIVATE | {"ETag": etag})
    return JobFile(
        _service(request).jobs.file(job, job.outcome.file),
        headers=PRIVATE | {"ETag": etag},
        media_type=job.outcome.media_type,
        filename=job.outcome.name,
        content_disposition_type="inline",
    )


@router.get(
    "/jobs/{id}/preview",
    summary="The newest picture of a job that is finished, small",
    response_class=Response,
    responses={
        **file_responses("the picture", "image/jpeg"),
        **problem_responses(UNKNOWN_JOB, NO_PREVIEW, RANGE_NOT_SATISFIABLE, JOBS_OFF, JOB_STORE_DOWN),
    },
)
async def preview(request: Request, id: str) -> Response:
    job = await _job(request, id)
    if not job.preview:
        retry = None if job.state.ended else RETRY_SECONDS
        raise Problem(NO_PREVIEW, f"the job is {job.state}", retry_after=retry)
    path = _service(request).jobs.file(job, job.preview)
    return JobFile(path, headers=NOT_STORED | {"X-Content-Type-Options": "nosniff"}, media_type="image/jpeg")


@router.delete(
    "/jobs/{id}",
    summary="Cancel a job and forget it",
    status_code=204,
    response_class=Response,
    responses=problem_responses(UNKNOWN_JOB, STORAGE_FULL, JOBS_OFF, JOB_STORE_DOWN),
)
async def delete(request: Request, id: str) -> Response:
    """Its files go with it. Whoever listens to it hears that it is cancelled."""
    job = await _job(request, id)
    try:
        await _service(request).jobs.remove(job.id)
    except Unavailable as error:
        raise jobs_off(error) from None
    except StoreFull:
        raise Problem(STORAGE_FULL, "the folder of jobs is full", retry_after=RETRY_SECONDS) from None
    return Response(status_code=204)
