"""What /docs tells of fields, answers and errors, with examples, from where each is defined."""

from collections import defaultdict
from typing import Any, Final

from app.http.problems import (
    BAD_REQUEST,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    MEDIA_TYPE,
    NOT_FOUND,
    TYPES,
    UNAUTHORIZED,
    ProblemType,
)
from app.http.shown import JobInfo
from app.images.encode import MEDIA_TYPES
from app.images.sniff import FORMATS
from app.options import MAX_STYLES, Options
from app.video.formats import VIDEO_SUFFIXES
from app.video.options import VideoOptions

_FILE: Final = {"type": "string", "format": "binary"}

PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "remedy"],
    "properties": {
        "type": {"type": "string", "description": "stable name of the kind of error; can be followed"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong this time"},
        "remedy": {"type": "string", "description": "what to do about it"},
        "field": {"type": "string", "description": "the field that is wrong"},
        "limit": {"description": "the limit it broke"},
        "errors": {
            "type": "array",
            "description": "every fault of the request, by field",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}, "limit": {}},
            },
        },
    },
}

_HEADERS: Final = {
    "X-Request-Id": "the caller's own where it sent one, else a new one; the log has it too",
    "X-Batch-Size": "how many pictures the network ran together; 0 for a result that was kept",
    "X-Style-Id": "ids of the uploaded styles that are remembered now, in order: send one as style_id next time",
    "Cache-Status": "where results are kept: whether this is one (hit), and is kept now (stored)",
    "Server-Timing": "milliseconds in decode, queue, network and encode",
    "Location": "where the job is",
    "Retry-After": "seconds after which it is worth to ask again",
}
_OF_PICTURES: Final = ("X-Request-Id", "X-Batch-Size", "X-Style-Id", "Cache-Status", "Server-Timing")
_OF_UPLOADS: Final = (400, 401, 408, 413, 415, 422, 429, 431, 500, 503)
_ALWAYS: Final = (BAD_REQUEST, UNAUTHORIZED, HEADERS_TOO_LARGE, INTERNAL_ERROR)
_ACCEPTED: Final[dict[str, Any]] = {
    "model": JobInfo,
    "headers": {"Location": {"description": _HEADERS["Location"], "schema": {"type": "string"}}},
    "links": {
        name: {"operationRef": f"#/paths/~1jobs~1{{id}}{path}/{method}", "parameters": {"id": "$response.body#/id"}}
        for name, path, method in (
            ("job", "", "get"),
            ("events", "~1events", "get"),
            ("result", "~1result", "get"),
            ("preview", "~1preview", "get"),
            ("cancel", "", "delete"),
        )
    },
}


def problem_responses(*kinds: ProblemType) -> dict[int | str, dict[str, Any]]:
    """Responses of an operation: one per status, an example per kind of problem."""
    by_status: dict[int | str, list[ProblemType]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return {
        status: {
            "description": "; or: ".join(kind.title for kind in same),
            "content": {
                MEDIA_TYPE: {
                    "schema": PROBLEM_SCHEMA,
                    "examples": {kind.name: {"value": kind.body(kind.example)} for kind in same},
                }
            },
        }
        for status, same in sorted(by_status.items(), key=str)
    }


def stylize_operation() -> dict[str, Any]:
    """The members of the operation that FastAPI can't read off a signature."""
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form_schema()}}},
        "parameters": [
            {
                "name": "X-Request-Timeout",
                "in": "header",
                "description": "seconds the caller can wait; may only shorten the service's own limit",
                "schema": {"type": "number", "exclusiveMinimum": 0},
                "example": 20,
            },
            {
                "name": "X-Request-Id",
                "in": "header",
                "description": "the caller's name for this request; comes back in the answer",
                "schema": {"type": "string", "maxLength": 128},
                "example": "order-1234",
            },
            {
                "name": "Prefer",
                "in": "header",
                "description": "respond-async: don't wait, but answer as POST /jobs does",
                "schema": {"type": "string"},
                "example": "",
            },
        ],
    }


def job_operation() -> dict[str, Any]:
    """The same of POST /jobs."""
    schema = _form_schema()
    schema["properties"]["content"] = {
        "type": "array",
        "items": _FILE,
        "minItems": 1,
        "description": f"Photos: {FORMATS}; several come back as a zip archive. Or one zip archive of photos, which "
        "comes back with the same paths. Or one video.",
    }
    steadiness = VideoOptions.model_fields["steadiness"]
    schema["properties"]["steadiness"] = {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": steadiness.default,
        "description": f"Of videos. {steadiness.description}",
        "example": steadiness.default,
    }
    schema["properties"]["video_format"] = {
        "type": "string",
        "enum": list(VIDEO_SUFFIXES),
        "description": f"Of videos. {VideoOptions.model_fields['format'].description}",
        "example": "mp4",
    }
    schema["properties"]["keyframes"] = {
        "type": "string",
        "description": "Of videos: what styles, weights and strength are at some moments, as JSON.",
        "example": "",
    }
    schema["properties"]["callback"] = {
        "type": "string",
        "format": "uri",
        "description": "Where to tell that the job has ended: https, at a host the service's operator allows.",
        "example": "",
    }
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}},
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "a name for this request that no other has: sent again, it gives the same job",
                "schema": {"type": "string", "maxLength": 255},
                "example": "2f5a4e0c-6a0e-4a6e-9d0a-1d7b6c1f3f0e",
            },
            {
                "name": "Authorization",
                "in": "header",
                "description": "a secret of the caller's own, by which jobs can be listed",
                "schema": {"type": "string"},
                "example": "Bearer 3b1f0c",
            },
        ],
    }


def stylize_responses() -> dict[int | str, dict[str, Any]]:
    """The picture, and every problem."""
    elsewhere = (
        "not-found",
        "unknown-style",
        "method-not-allowed",
        "ready-style",
        "style-store-down",
        "origin-not-allowed",
        "bad-request",
        "unknown-job",
        "no-preview",
        "job-not-done",
        "unknown-caller",
        "jobs-off",
        "range-not-satisfiable",
    )
    picture = {
        "description": "the stylised photo",
        "content": {media_type: {"schema": _FILE} for media_type in MEDIA_TYPES.values()},
        "headers": {name: _header(name) for name in _OF_PICTURES},
    }
    accepted = {**_ACCEPTED, "description": "a job, where the request prefers respond-async: as of POST /jobs"}
    return {200: picture, 202: accepted, **problem_responses(*(k for k in TYPES.values() if k.name not in elsewhere))}


def job_responses() -> dict[int | str, dict[str, Any]]:
    """The job, and every problem."""
    problems = (kind for kind in TYPES.values() if kind.status in _OF_UPLOADS and kind.name != "unknown-caller")
    return {202: {**_ACCEPTED, "description": "the job, which is on disk"}, **problem_responses(*problems)}


def file_responses(description: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    """A file, and a part of it."""
    content = {media_type: {"schema": _FILE} for media_type in media_types}
    part = {**content, "multipart/byteranges": {"schema": _FILE}}
    return {
        200: {"description": description, "content": content},
        206: {"description": "the part that Range asks for", "content": part},
    }


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with what any request may be answered, whatever route it is for, and without what none is."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            responses: dict[str, Any] = operation["responses"]
            if "application/json" in responses.get("422", {}).get("content", {}):
                del responses["422"]  # FastAPI's own, in its own form: a path's parameters are any text
            common = [*_ALWAYS, *((NOT_FOUND,) if "{" in path else ())]
            for status, response in problem_responses(*common).items():
                responses.setdefault(str(status), response)
            for status, response in responses.items():
                headers = response.setdefault("headers", {})
                headers.setdefault("X-Request-Id", _header("X-Request-Id"))
                if status in ("429", "503"):
                    headers["Retry-After"] = _header("Retry-After")
    for name in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(name, None)
    return document


def _header(name: str) -> dict[str, Any]:
    return {"description": _HEADERS[name], "schema": {"type": "string"}}


def _form_schema() -> dict[str, Any]:
    options = Options.model_json_schema()["properties"]
    for schema in options.values():
        schema.pop("title", None)
        if optional := schema.pop("anyOf", None):
            # A form has no null: a field that may be None is one that may be absent.
            schema.update(next(kind for kind in optional if kind["type"] != "null"))
            del schema["default"]
        if examples := schema.pop("examples", None):
            schema["example"] = examples[0]
    return {
        "type": "object",
        "required": ["content"],
        "anyOf": [{"required": ["style"]}, {"required": ["style_id"]}],
        "additionalProperties": False,
        "properties": {
            "content": {**_FILE, "description": f"The photo: {FORMATS}."},
            "style": {
                "type": "array",
                "items": _FILE,
                "maxItems": MAX_STYLES,
                "description": "One to eight pictures whose style is taken; needed unless style_id is given.",
            },
            "style_id": {
                "type": "array",
                "items": {"type": "string"},
                "maxItems": MAX_STYLES,
                "description": "Ids of remembered styles, as in X-Style-Id; they come after the uploaded ones.",
                "example": [],
            },
            "mask": {
                "type": "array",
                "items": _FILE,
                "maxItems": MAX_STYLES,
                "description": "One picture per style, white on black (or ink on nothing, or labels on black) where "
                "that style acts; resized to the photo.",
            },
            **options,
        },
    }
