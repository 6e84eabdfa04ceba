"""What every request passes on its way in and every answer on its way out."""

import asyncio
import logging
import re
import time
import uuid
from typing import Final
from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import INTERNAL_ERROR, SHUTTING_DOWN, Problem, problem_response
from app.http.service import Service
from app.http.traces import Traces
from app.logs import RequestFacts, about_request

logger = logging.getLogger("impasto.http")

# Asked every few seconds by machines: not worth a line of the log each.
PROBES: Final = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2/models/impasto/ready")
SANE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
NOT_TRACED: Final = Traces()
LOGGED_PATH: Final = 500
LINGER_SECONDS: Final = 10.0
LAST_LINGER_SECONDS: Final = 0.5  # of a service that was told to end at once: less than uvicorn then waits
LINGER_BYTES: Final = 64_000_000


class Gate:
    """Names each request, and logs it in one line.

    An answer given before the upload was read to its end closes the connection, but not at once: what is still
    coming is read and dropped for a while, because a client cut off in mid-send would never see the answer.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with self.service.exchanging():
                await _Exchange(self, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, self._short_failure(send))
        else:
            await self.app(scope, receive, send)

    @staticmethod
    def _short_failure(send: Send) -> Send:
        """Of a failed start, show the operator the last line, which says what to do, and not the traceback."""

        async def send_short(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                message["message"] = message.get("message", "").strip().rpartition("\n")[2]
            await send(message)

        return send_short


class Unforeseen:
    """Turns what nobody caught into a problem answer, or passes it on where the answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False
        root_path = scope["root_path"]  # below a mount it becomes the mount's own

        async def note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception:
            logger.exception("request %s failed", scope["state"]["request_id"])
            if begun:
                raise
            problem = Problem(INTERNAL_ERROR, "the service failed in a way it did not foresee")
            await problem_response(problem, root_path)(scope, receive, send)


class _Exchange:
    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate = gate
        self.scope = scope
        self._receive = receive
        self._send = send
        self.status = 0
        self.body_read = False
        self.request_id = self._request_id()
        state = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        is_probe = scope["path"].removeprefix(gate.service.settings.root_path) in PROBES
        state["trace"] = self.trace = (NOT_TRACED if is_probe else gate.service.traces).begin(scope, self.request_id)

    def _request_id(self) -> str:
        for name, value in self.scope["headers"]:
            if name == b"x-request-id":
                text = value.decode("latin-1")
                if SANE_REQUEST_ID.fullmatch(text):
                    return str(text)
        return uuid.uuid4().hex

    async def run(self) -> None:
        since = time.monotonic()
        scope = _as_routed(self.scope, self.gate.service.settings.root_path)
        said = about_request.set(RequestFacts(self.request_id, self.trace.trace_id))
        try:
            await self._app(scope)(scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self.gate.service.ended:
                raise
            if not self.status:
                problem = Problem(SHUTTING_DOWN, "the service was told twice to stop")
                await problem_response(problem, scope["root_path"])(scope, self.receive, self.send)
        finally:
            milliseconds = 1000 * (time.monotonic() - since)
            self.trace.end(getattr(scope.get("route"), "path", ""), self.status)
            logger.log(
                logging.DEBUG if scope["path"].removeprefix(scope["root_path"]) in PROBES else logging.INFO,
                "%s %s %s %.0f ms %s",
                self.scope["method"],
                quote(self.scope["path"][:LOGGED_PATH], errors="replace"),
                self.status or "gone",
                milliseconds,
                self.request_id,
                extra={
                    "method": self.scope["method"],
                    "path": self.scope["path"][:LOGGED_PATH],
                    "status": self.status,
                    "milliseconds": round(milliseconds, 1),
                },
            )
            about_request.reset(said)

    def _app(self, scope: Scope) -> ASGIApp:
        root_path = scope["root_path"]
        if root_path and scope["path"] == root_path and scope["method"] == "GET":
            return RedirectResponse(f"{root_path}/")  # what the page names, it names relative to its folder
        return self.gate.app

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.body_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", []), (b"x-request-id", self.request_id.encode("latin-1"))]
            if self._must_close():
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        elif self._must_linger() and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    def _has_body(self) -> bool:
        names = {name for name, _ in self.scope["headers"]}
        return b"content-length" in names or b"transfer-encoding" in names

    def _must_linger(self) -> bool:
        return self._has_body() and not self.body_read

    def _must_close(self) -> bool:
        return self.gate.service.leaving or self._must_linger()

    async def _linger(self) -> None:
        dropped = 0
        try:
            async with asyncio.timeout(LAST_LINGER_SECONDS if self.gate.service.ended else LINGER_SECONDS):
                while not self.body_read and dropped < LINGER_BYTES:
                    dropped += len((await self.receive()).get("body", b""))
        except TimeoutError:
            logger.debug("request %s still sends after its answer", self.request_id)


def asked_method(scope: Scope) -> str:
    """The method the client named."""
    method: str = scope["state"].get("asked_method", scope["method"])
    return method


def _as_routed(scope: Scope, root_path: str) -> Scope:
    """The request as the routes know it.

    HEAD, which load balancers like to send, is GET without the body, which the server leaves away (RFC 9110). A path
    begins with the root path (as ASGI has it; the setting, or else the server's), whether a proxy took that away or
    not. Doubled slashes and one at the end, as clients make them of addresses put together, mean nothing: to redirect
    would lose the body.
    """
    scope["state"]["asked_method"] = scope["method"]
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    root_path = root_path or scope.get("root_path", "")
    path = re.sub("//+", "/", scope["path"])
    if not f"{path}/".startswith(f"{root_path}/"):
        path = root_path + path
    if path != f"{root_path}/":
        path = path.rstrip("/")
    return {**scope, "method": method, "path": path, "root_path": root_path}
