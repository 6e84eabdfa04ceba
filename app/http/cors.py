"""Which pages' scripts may call the service and read its answers."""

from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.http.problems import METHOD_NOT_ALLOWED, ORIGIN_NOT_ALLOWED, Problem, problem_response
from app.origins import matching

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
EXPOSED_HEADERS: Final = (
    "X-Request-Id",
    "Server-Timing",
    "X-Batch-Size",
    "X-Style-Id",
    "Retry-After",
    "Cache-Status",
    "RateLimit",
    "RateLimit-Policy",
    "WWW-Authenticate",
    "Location",
    "Preference-Applied",
    "ETag",
    "Accept-Ranges",
    "Content-Range",
    "Content-Disposition",
)


class Cors(CORSMiddleware):
    """starlette's, with any header and from the public net into a private one, but a refused preflight is a problem.

    `origins` are as `app.origins` writes them. Cookies are not asked for: nothing here depends on who calls.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], root_path: str) -> None:
        self.root_path = root_path
        super().__init__(
            app,
            allow_origins=origins,
            allow_origin_regex=matching(origins),
            allow_methods=METHODS,
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        origin = request_headers["origin"]
        if self.is_allowed_origin(origin):
            method = request_headers["access-control-request-method"]
            problem = Problem(METHOD_NOT_ALLOWED, f"{method[:50]}: pages may send {', '.join(METHODS)}")
        else:
            problem = Problem(ORIGIN_NOT_ALLOWED, f"pages of {origin[:200]} may not call the service", field="Origin")
        problem.headers["Vary"] = response.headers["Vary"]
        return problem_response(problem, self.root_path)
