"""Who may ask, and how much: every request passes here before its body is read."""

from collections.abc import Collection
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.addresses import network_of
from app.access.clients import Client
from app.access.limits import SECONDS, LimitReached
from app.http.problems import RATE_LIMITED, UNAUTHORIZED, Problem, problem_response
from app.http.service import Service

# Probes, and what an error's type leads to.
ALWAYS_OPEN: Final = ("/healthz", "/readyz", "/problems", "/v2/health", "/v2/models/impasto/ready")
OPEN_PATHS: Final = {
    "docs": ("/docs", "/openapi.json", "/static-offline-docs"),
    "metrics": ("/metrics",),
    "page": ("/web",),
}
SCHEME: Final = "bearer "


class Open:
    """What needs no key; `open_to_all` as in the setting of that name."""

    def __init__(self, open_to_all: Collection[str]) -> None:
        self._paths = ALWAYS_OPEN + sum((OPEN_PATHS[name] for name in open_to_all), ())
        self._page = "page" in open_to_all

    def __call__(self, method: str, path: str) -> bool:
        """Whether a request to `path`, below the root path, is one of it."""
        if any(path == known or path.startswith(f"{known}/") for known in self._paths):
            return True
        # What the page shows before it is asked for anything.
        pictures = path.startswith("/styles/") and path.endswith(("/picture", "/thumbnail"))
        return self._page and method == "GET" and (path in ("/", "/styles", "/favicon.ico") or pictures)


def without_open_keys(document: dict[str, Any], open_to_all: Collection[str]) -> dict[str, Any]:
    """An OpenAPI document that asks for a key where the service does, and only there."""
    is_open = Open(open_to_all)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if is_open(method.upper(), path):
                operation.pop("security", None)
    return document


class Access:
    """Names the client in `scope["state"]["client"]`, or refuses: 401 without a key, 429 over a limit.

    What takes work (POST) counts as a request, and its answer says what is left.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self._service = service
        self._is_open = Open(service.settings.open_to_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            client = scope["state"]["client"] = self._client(scope)
            if scope["method"] == "POST":
                send = self._telling(send, client)
                await self._count(client)
        except Problem as problem:
            await problem_response(problem, scope["root_path"])(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _client(self, scope: Scope) -> Client:
        settings, keys = self._service.settings, self._service.keys
        address = network_of((scope.get("client") or ("",))[0])
        if keys is None:
            requests, megapixels = settings.requests_per_minute, settings.megapixels_per_minute
            return Client(address, False, requests or None, megapixels or None)
        key = _key(Headers(scope=scope))
        client = keys.client(key) if key else None
        path = scope["path"].removeprefix(scope["root_path"])
        if client is None and not self._is_open(scope["method"], path):
            raise self._unauthorized(key)
        return client or Client(address)

    def _unauthorized(self, key: str) -> Problem:
        self._service.metrics.unauthorized.inc()
        text = "the key is not known here" if key else "the request has no key"
        problem = Problem(UNAUTHORIZED, text, field="Authorization")
        error = ', error="invalid_token"' if key else ""
        problem.headers["WWW-Authenticate"] = f'Bearer realm="impasto"{error}'
        return problem

    async def _count(self, client: Client) -> None:
        if client.has_key:
            self._service.metrics.client_requests.labels(client.name).inc()
        try:
            await self._service.limits_of_clients.take_request(client)
        except LimitReached as reached:
            problem = rate_limited(reached)
            self._service.metrics.refusals.labels(problem.kind.name).inc()
            raise problem from None

    def _telling(self, send: Send, client: Client) -> Send:
        """`send`, with what the client has left in the answer's headers (draft-ietf-httpapi-ratelimit-headers)."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                states = await self._service.limits_of_clients.states(client)
                if states:
                    headers = MutableHeaders(scope=message)
                    headers["RateLimit-Policy"] = ", ".join(
                        f'"{state.kind}";q={int(state.limit)};w={SECONDS}' for state in states
                    )
                    headers["RateLimit"] = ", ".join(
                        f'"{state.kind}";r={state.left};t={state.seconds}' for state in states
                    )
            await send(message)

        return send_with_headers


def client_of(request: Request) -> Client:
    """Who asks."""
    client: Client = request.scope["state"]["client"]
    return client


async def count_pixels(service: Service, client: Client, pixels: int) -> None:
    """Count a result's pixels against the client's limit; raises the Problem that it is reached."""
    if client.has_key:
        service.metrics.client_pixels.labels(client.name).inc(pixels)
    try:
        await service.limits_of_clients.take_pixels(client, pixels)
    except LimitReached as reached:
        raise rate_limited(reached) from None


def rate_limited(reached: LimitReached) -> Problem:
    """The answer to a client that has had its part."""
    return Problem(RATE_LIMITED, str(reached), limit=reached.limit, retry_after=reached.retry_after)


def _key(headers: Headers) -> str:
    authorization = headers.get("authorization", "")
    if authorization.lower().startswith(SCHEME):
        return authorization[len(SCHEME) :].strip()
    return headers.get("x-api-key", "").strip()
