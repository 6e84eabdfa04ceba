"""Every error the service answers with, as problem details (RFC 9457).

A fault is raised as a `Problem` wherever it is found and becomes an answer in one place, `problem_response`. Its
`type` is stable and can be followed: `/problems/<name>` tells what it means and what to do.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse

from app.images.sniff import FORMATS

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """One kind of error: its name in `type`, its status, and what to do about it."""

    name: str
    status: int
    title: str
    remedy: str
    example: str

    def body(self, detail: str, root_path: str = "", **members: Any) -> dict[str, Any]:
        """The members of an answer of this kind; `root_path` is where a proxy shows the service."""
        return {
            "type": f"{root_path}/problems/{self.name}",
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "remedy": self.remedy,
            **members,
        }


INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "Some fields are missing or wrong",
    "Mend every field listed in errors, and send it again.",
    "wrong or missing: strength, style",
)
UNREADABLE_IMAGE = ProblemType(
    "unreadable-image",
    422,
    "A file is not a picture that can be used",
    f"Do what the detail says; what is read are whole {FORMATS} files.",
    "content: the file is empty",
)
UNREADABLE_ARCHIVE = ProblemType(
    "unreadable-archive",
    422,
    "A file is not a zip archive of photos that can be used",
    "Do what the detail says; what is read is a whole zip archive without a password, with photos in it.",
    "content: the archive has no photo in it",
)
UNREADABLE_VIDEO = ProblemType(
    "unreadable-video",
    422,
    "A file is not a video that can be used",
    "Do what the detail says; what is read are MP4, MOV, WebM, MKV, GIF, and animated WebP and PNG.",
    "content: Nothing of the video can be decoded: send it whole, in H.264, HEVC, VP9 or AV1.",
)
VIDEO_TOO_LARGE = ProblemType(
    "video-too-large",
    413,
    "A video is longer or larger than the limit",
    "Send a shorter or a smaller one: the limit is of what unit tells, seconds, frames, pixels of a frame, or bytes.",
    "content: The video takes 3,600 seconds or more and the limit is 600: send a shorter one.",
)
TOO_MANY_PIXELS = ProblemType(
    "too-many-pixels",
    413,
    "A picture has more pixels than the limit",
    "Reduce the picture, and send it again.",
    "content: the picture is 60000 x 60000 pixels, the most is 50000000",
)
FILE_TOO_LARGE = ProblemType(
    "file-too-large",
    413,
    "A file has more bytes than the limit",
    "Send a smaller file: as JPEG, or reduced.",
    "content has more than 20000000 bytes",
)
REQUEST_TOO_LARGE = ProblemType(
    "request-too-large",
    413,
    "The request has more bytes or parts than the limit",
    "Send fewer or smaller files.",
    "the request has more than 100000000 bytes",
)
FIELD_TOO_LARGE = ProblemType(
    "field-too-large",
    413,
    "A text field is longer than the limit",
    "Send pictures as content, style and mask; every other field is a short text.",
    "strength has more than 1024 bytes of text",
)
MALFORMED_MULTIPART = ProblemType(
    "malformed-multipart",
    400,
    "The body is not whole multipart/form-data",
    "Let the HTTP library build the body and its boundary; don't set Content-Type yourself.",
    "the body ends after 1024 bytes, before its closing boundary",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body is not plain multipart/form-data",
    "Send content and style as files of a form, neither compressed nor encoded.",
    "Content-Type is application/json; expected multipart/form-data",
)
BAD_REQUEST = ProblemType(
    "bad-request", 400, "The request can't be understood", "See the detail.", "the request is not HTTP"
)
HEADERS_TOO_LARGE = ProblemType(
    "headers-too-large",
    431,
    "The request's headers have more bytes than the limit",
    "Send fewer or shorter headers.",
    "the request's line and headers have more than 65536 bytes",
)
UPLOAD_TIMEOUT = ProblemType(
    "upload-timeout",
    408,
    "The upload took too long",
    "Send it again over a faster line, or a smaller file.",
    "the upload was not complete after 30 seconds",
)
SLOW_UPLOAD = ProblemType(
    "slow-upload",
    408,
    "The upload came too slowly",
    "Send it again over a faster line, or a smaller file.",
    "the body came at less than 2048 bytes a second for 5 seconds",
)
NOT_FOUND = ProblemType("not-found", 404, "There is nothing here", "See /docs for what the service offers.", "/stylise")
UNKNOWN_STYLE = ProblemType(
    "unknown-style",
    404,
    "The service does not remember this style",
    "Upload the style's picture again.",
    "no style 0123456789abcdef0123456789abcdef is remembered",
)
UNKNOWN_JOB = ProblemType(
    "unknown-job",
    404,
    "There is no such job (any longer)",
    "Look up its address; jobs are forgotten some time after they end, and when they are deleted.",
    "no job 0123456789abcdef0123456789abcdef is known",
)
NO_PREVIEW = ProblemType(
    "no-preview",
    404,
    "Nothing of this job is finished yet",
    "Ask again when its progress says that something is.",
    "the job is queued",
)
JOB_NOT_DONE = ProblemType(
    "job-not-done",
    409,
    "The job has no result",
    "Wait until its state is done: /jobs/{id}/events tells. A job that failed says why in its problem.",
    "the job is running",
)
UNKNOWN_CALLER = ProblemType(
    "unknown-caller",
    401,
    "The service does not know whose jobs to list",
    "Send jobs, and ask for them, with the same Authorization header: any secret of your own will do.",
    "the request has no Authorization header",
)
JOBS_OFF = ProblemType(
    "jobs-off",
    503,
    "This service keeps no jobs",
    "Operators: name a folder that can be written by IMPASTO_DATA_DIR.",
    "/data can't be written (Read-only file system)",
)
JOB_STORE_DOWN = ProblemType(
    "job-store-down",
    503,
    "The store of jobs that replicas share does not answer",
    "Send it again after Retry-After seconds, with an Idempotency-Key: it may have been taken.",
    "the store of jobs does not answer",
)
RANGE_NOT_SATISFIABLE = ProblemType(
    "range-not-satisfiable",
    416,
    "The file has no such bytes",
    "Ask for a range that begins within the file, or without Range.",
    "the file has 48213 bytes",
)
READY_STYLE = ProblemType(
    "ready-style",
    409,
    "A style that stands ready is not forgotten",
    "Operators: take its picture out of the folder of styles, and start the service again.",
    "the style 0123456789abcdef0123456789abcdef stands ready, for everybody",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed", 405, "This method is not for this path", "See /docs.", "GET /stylize"
)
UNAUTHORIZED = ProblemType(
    "unauthorized",
    401,
    "A key is needed",
    "Send your key as Authorization: Bearer KEY, or as X-Api-Key; the service's operator makes one.",
    "the request has no key",
)
RATE_LIMITED = ProblemType(
    "rate-limited",
    429,
    "The client has had what it may have in a minute",
    "Send it again after Retry-After seconds.",
    "60 requests a minute are this client's limit",
)
ORIGIN_NOT_ALLOWED = ProblemType(
    "origin-not-allowed",
    403,
    "Pages of this origin may not call the service",
    "Operators: name the page's origin in IMPASTO_CORS_ORIGINS.",
    "pages of https://site.example may not call the service",
)
QUEUE_FULL = ProblemType(
    "queue-full",
    503,
    "More work is waiting than can be done in time",
    "Send it again after Retry-After seconds.",
    "the queue is full; a place is expected in 3.2 s",
)
NOT_READY = ProblemType(
    "not-ready",
    503,
    "The service is not ready for work",
    "Send it again after Retry-After seconds.",
    "the worker is not running; it is being restarted",
)
SHUTTING_DOWN = ProblemType(
    "shutting-down",
    503,
    "The service is stopping",
    "Send it again; another instance or the next start will answer.",
    "the service is stopping and takes no new work",
)
STORE_DOWN = ProblemType(
    "style-store-down",
    503,
    "The store that replicas share does not answer",
    "Send it again after Retry-After seconds.",
    "the style store does not answer",
)
STORAGE_FULL = ProblemType(
    "storage-full",
    503,
    "There is no room for uploads",
    "Send it again after Retry-After seconds; operators: give the temporary folder, and that of jobs, more room.",
    "the temporary folder is full",
)
DEADLINE_PASSED = ProblemType(
    "deadline-passed",
    504,
    "The result was not ready in time",
    "Allow more time, ask for a smaller size, or wait.",
    "the result was not ready within 60 seconds",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "The service failed on this request",
    "Report it with the X-Request-Id of this answer.",
    "the network failed on this picture",
)

TYPES: Final = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, ProblemType)}


class Problem(Exception):
    """A fault to answer with: its kind, what is wrong this time, and members of its own such as field and limit."""

    def __init__(self, kind: ProblemType, detail: str, *, retry_after: float | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.members = members
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))


def problem_response(problem: Problem, root_path: str) -> JSONResponse:
    """The answer a problem becomes; `root_path` is where a proxy shows the service."""
    body = problem.kind.body(problem.detail, root_path, **problem.members)
    return JSONResponse(body, problem.kind.status, problem.headers, MEDIA_TYPE)
