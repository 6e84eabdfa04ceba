"""The application: `uvicorn app.main:app`, or `create_app` with settings of one's own."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.configured import configured_engine
from app.engine.base import Engine
from app.engine.create import engine_devices
from app.http import inference_protocol
from app.http.access import Access, without_open_keys
from app.http.cors import Cors
from app.http.gate import Gate, Unforeseen, asked_method
from app.http.jobs import router as jobs_router
from app.http.openapi import completed
from app.http.page import mount_page
from app.http.problems import (
    BAD_REQUEST,
    INVALID_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Problem,
    problem_response,
)
from app.http.ranges import Ranges
from app.http.routes import router
from app.http.service import Service
from app.settings import Settings, WrongSettings, foreign_variables, read_settings

logger = logging.getLogger("impasto")

DESCRIPTION = """Repaint a photo in the style of any picture, in one forward pass
(AdaIN, [Huang & Belongie 2017](https://arxiv.org/abs/1703.06868)).

`curl -F content=@photo.jpg -F style=@painting.jpg http://127.0.0.1:8000/stylize -o result.jpg`

Every error is `application/problem+json` (RFC 9457); [/problems]({root_path}/problems) lists them."""


def create_app(settings: Settings | None = None, make_engine: Callable[[], Engine] | None = None) -> FastAPI:
    """The service as an ASGI application; the engine loads when it starts.

    Without `settings` it is as servers call it: they come from the environment, and where that is wrong the process
    ends with one line. `make_engine` makes another engine than the settings name, in the worker's thread.
    """
    try:
        settings = settings or read_settings()
    except WrongSettings as error:
        sys.exit(f"Error: {error}")
    for variable in foreign_variables():
        logger.warning("%s is the address of a Kubernetes Service of this name, not a setting: ignored", variable)
    devices = engine_devices(settings.engine, settings.device)
    makers = [make_engine] if make_engine else [partial(configured_engine, settings, device) for device in devices]
    service = Service(settings, makers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    # /docs with its scripts from here, not from other people's servers.
    app = FastAPIOffline(
        redoc_url=None,
        title="Impasto",
        version=version("impasto"),
        description=DESCRIPTION.format(root_path=settings.root_path),
        lifespan=lifespan,
        redirect_slashes=False,
        # For /docs alone, which then has a place for a key; `Access` asks for it.
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.api_keys_file else [],
        exception_handlers={
            Problem: _problem,
            HTTPException: _http_exception,
            RequestValidationError: _validation_error,
        },
    )
    app.state.service = service
    document = app.openapi
    app.openapi = cache(lambda: without_open_keys(completed(document()), settings.open_to_all))  # type: ignore[method-assign]
    app.include_router(router)
    app.include_router(inference_protocol.router)
    app.include_router(jobs_router)
    mount_page(app, settings.page)
    # The last is the first that a request meets: preflights are logged too, and unforeseen errors can be read by pages.
    app.add_middleware(Ranges)
    app.add_middleware(Access, service=service)
    app.add_middleware(Unforeseen)
    if settings.cors_origins:
        app.add_middleware(Cors, origins=settings.cors_origins, root_path=settings.root_path)
    app.add_middleware(Gate, service=service)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies))
    return app


def __getattr__(name: str) -> FastAPI:
    """`app` is made when a server first asks for it, not when somebody imports `create_app`."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = application = create_app()
    return application


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return _answer(error, request)


async def _http_exception(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    if not isinstance(error, HTTPException):
        raise error
    kind = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED}.get(error.status_code, BAD_REQUEST)
    problem = Problem(kind, f"{asked_method(request.scope)} {request.url.path[:200]}")
    problem.headers.update(error.headers or {})
    if error.status_code == 405:
        # Static files name nothing, a route none but its own, and those of GET forget that the gate lets HEAD in by it
        # (RFC 9110, 15.5.6).
        allowed = set(problem.headers.get("Allow", "GET").split(", "))
        path = getattr(request.scope.get("route"), "path", "")
        allowed.update(method.upper() for method in request.app.openapi()["paths"].get(path, ()))
        problem.headers["Allow"] = ", ".join(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))
    return _answer(problem, request)


async def _validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [{"field": str(e["loc"][-1]), "detail": e["msg"]} for e in error.errors()]
    return _answer(Problem(INVALID_REQUEST, "wrong or missing fields", errors=errors), request)


def _answer(problem: Problem, request: Request) -> Response:
    scope = request.scope
    # Below a mount, as of static files, the root path is the mount's own.
    return problem_response(problem, scope.get("app_root_path", scope["root_path"]))
