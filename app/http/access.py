"""Who may ask, and how much: every request passes here before its body is read."""

from typing import Final

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


class Access:
    """Names the client in `scope["state"]["client"]`, or refuses: 401 without a key, 429 over a limit.

    What takes work (POST) counts as a request, and its answer says what is left.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self._service = service
        self._open = ALWAYS_OPEN + sum((OPEN_PATHS[name] for name in service.settings.open_to_all), ())
        self._page_open = "page" in service.settings.open_to_all

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
        if client is None and not self._is_open(scope):
            raise self._unauthorized(key)
        return client or Client(address)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope["root_path"])
        if any(path == known or path.startswith(f"{known}/") for known in self._open):
            return True
        # What the page shows before it is asked for anything.
        pictures = path.startswith("/styles/") and path.endswith(("/picture", "/thumbnail"))
        return self._page_open and scope["method"] == "GET" and (path in ("/", "/styles", "/favicon.ico") or pictures)

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
