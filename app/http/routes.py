"""The routes around POST /stylize: health, metrics, what is remembered, what the errors mean."""

from typing import Any, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import FileResponse, JSONResponse, Response

from app.http.openapi import file_responses, problem_responses, stylize_operation, stylize_responses
from app.http.problems import (
    NOT_FOUND,
    NOT_READY,
    QUEUE_FULL,
    RANGE_NOT_SATISFIABLE,
    READY_STYLE,
    SHUTTING_DOWN,
    STORE_DOWN,
    TYPES,
    UNKNOWN_STYLE,
    Problem,
)
from app.http.service import Service
from app.http.stylize import stylize
from app.styles.library import StyleLibrary
from app.styles.ready import ReadyStyle
from app.styles.store import StoreDown

router = APIRouter()

# An id is a hash of the picture: what it names never changes.
FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}

DESCRIPTION = """A photo and one to eight styles in, the repainted photo out.

Blends, strength and masks act on the network's features (relu4_1), as in Huang & Belongie (2017). The answer names
the uploaded styles in `X-Style-Id`: send an id as `style_id` next time, instead of the picture. Orientation is applied,
colours are converted to sRGB, transparency is kept in PNG and WebP, and the answer carries no metadata."""

router.add_api_route(
    "/stylize",
    stylize,
    methods=["POST"],
    summary="Repaint a photo in the style of other pictures",
    description=DESCRIPTION,
    response_class=Response,
    responses=stylize_responses(),
    openapi_extra=stylize_operation(),
    tags=["stylize"],
)


class ReadyStyleInfo(BaseModel):
    """A style that stands ready: `width` and `height` in pixels."""

    id: str
    name: str
    credit: str
    width: int
    height: int
    picture: str
    thumbnail: str


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.get("/styles", summary="The styles that stand ready", tags=["stylize"])
async def styles(request: Request) -> dict[str, list[ReadyStyleInfo]]:
    """Send an `id` as `style_id`; addresses of pictures are relative to this one."""
    return {
        "styles": [
            ReadyStyleInfo(
                id=style.id,
                name=style.name,
                credit=style.credit,
                width=style.width,
                height=style.height,
                picture=f"styles/{style.id}/picture",
                thumbnail=f"styles/{style.id}/thumbnail",
            )
            for style in _service(request).ready.values()
        ]
    }


@router.get(
    "/styles/{id}/picture",
    summary="The picture of a style that stands ready",
    tags=["stylize"],
    response_class=Response,
    responses={
        **file_responses("the picture", "image/*"),
        **problem_responses(UNKNOWN_STYLE, RANGE_NOT_SATISFIABLE),
    },
)
async def style_picture(request: Request, id: str) -> FileResponse:
    return FileResponse(_ready(request, id).path, headers=FOR_EVER)


@router.get(
    "/styles/{id}/thumbnail",
    summary="The same, small, as JPEG",
    tags=["stylize"],
    response_class=Response,
    responses={200: file_responses("the picture", "image/jpeg")[200], **problem_responses(UNKNOWN_STYLE)},
)
async def style_thumbnail(request: Request, id: str) -> Response:
    return Response(_ready(request, id).thumbnail, headers=FOR_EVER, media_type="image/jpeg")


def _ready(request: Request, id: str) -> ReadyStyle:
    ready = _service(request).ready
    if id not in ready:
        raise Problem(UNKNOWN_STYLE, f"no style {id[:64]} stands ready; GET /styles lists them", field="id")
    return ready[id]


@router.get(
    "/styles/{id}",
    summary="Whether a style is remembered",
    tags=["stylize"],
    responses=problem_responses(UNKNOWN_STYLE),
)
async def style(request: Request, id: str) -> dict[str, Any]:
    """Where it is known (`ready`, `memory`, `store`), the sizes its code is ready at, and whether its
    picture is kept, so that any other size can be asked for.
    """
    service = _service(request)
    known, sizes, any_size = await service.in_thread(_told, service.library, id)
    if not known:
        raise Problem(UNKNOWN_STYLE, f"no style {id[:64]} is remembered", field="id")
    return {"id": id, "known": known, "sizes": sizes, "any_size": any_size}


def _told(library: StyleLibrary, id: str) -> tuple[list[str], list[int], bool]:
    return library.known(id), library.sizes(id), library.has_picture(id)


@router.delete(
    "/styles/{id}",
    summary="Forget a style, in every replica",
    tags=["stylize"],
    status_code=204,
    response_class=Response,
    responses=problem_responses(READY_STYLE, STORE_DOWN),
)
async def forget_style(request: Request, id: str) -> Response:
    """Its picture and its codes are gone where this is answered, and elsewhere within moments. It may be unknown."""
    service = _service(request)
    if id in service.ready:
        raise Problem(READY_STYLE, f"the style {id} stands ready, for everybody", field="id")
    try:
        await service.in_thread(service.library.forget, id)
    except StoreDown as error:
        text = f"the style is forgotten here, but maybe not in other replicas: {error}"
        raise Problem(STORE_DOWN, text, retry_after=5) from None
    return Response(status_code=204)


@router.get("/healthz", summary="The process lives", tags=["operation"])
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Weights are loaded, the worker lives, the queue has room",
    tags=["operation"],
    responses=problem_responses(NOT_READY, QUEUE_FULL, SHUTTING_DOWN),
)
async def readyz(request: Request) -> dict[str, str]:
    service = _service(request)
    service.check_ready()
    return {"status": "ready", "engine": service.queue.engine_name}


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    tags=["operation"],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    text, media_type = _service(request).metrics.text()
    return Response(text, headers={"Content-Type": media_type})


@router.get("/problems", summary="Every kind of error", tags=["errors"])
async def problems(request: Request) -> list[dict[str, Any]]:
    return [kind.body(kind.example, request.scope["root_path"]) for kind in TYPES.values()]


@router.get("/problems/{name}", summary="What an error means", tags=["errors"], responses=problem_responses(NOT_FOUND))
async def problem(request: Request, name: str) -> JSONResponse:
    if name not in TYPES:
        raise Problem(NOT_FOUND, f"there is no problem type {name[:64]}", field="name")
    return JSONResponse(TYPES[name].body(TYPES[name].example, request.scope["root_path"]))
