"""HTTP/1.1 as uvicorn speaks it, but bounded before a body, with problems for what is not HTTP, and with patience for
what clients do on the wire: they ask for other protocols, and they shut their sending side once they have asked.
"""

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.problems import BAD_REQUEST, HEADERS_TOO_LARGE, MEDIA_TYPE, METHOD_NOT_ALLOWED, ProblemType

MAX_HEAD_BYTES: Final = 64 * 1024
# Of what comes with a body: lengths of chunks, which take five bytes for a byte, their extensions, and trailers.
MAX_REST_BYTES: Final = 64 * 1024
REST_OF_A_BYTE: Final = 16
HEAD_SECONDS: Final = 10.0
ASK_AFTER_SECONDS: Final = 1.0
ASK_AGAIN_SECONDS: Final = 0.25
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a request's head is bounded in bytes and in time, and every refusal is a problem.

    A wish for another protocol (`Upgrade`) is passed over, as RFC 9110, 7.8, allows. A client that shuts its sending
    side behind a whole request still gets its answer.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._ask_timer: asyncio.TimerHandle | None = None
        self._whole_at = 0.0
        self._body: int | None = None  # the number of the one that comes in
        self._bodies = self._rest_bytes = 0
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_whole()
        if self._ask_timer is not None:
            self._ask_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        body = self._body
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("the request is not HTTP/1.1, or its head is broken")
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                text = f"the request's line and headers have more than {MAX_HEAD_BYTES} bytes"
                self._refuse(HEADERS_TOO_LARGE, text, limit=MAX_HEAD_BYTES)
        elif body is not None and body == self._body:
            self._rest_bytes += len(data)
            if self._rest_bytes > MAX_REST_BYTES:
                text = f"the body has more than {MAX_REST_BYTES} bytes of chunks' extensions and trailers"
                self._refuse(BAD_REQUEST, text, limit=MAX_REST_BYTES)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to keep the connection: for an answer that a whole request still waits for."""
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and not self.cycle.more_body:
            self._head_is_whole()
            self.cycle.keep_alive = False
            asked = self._whole_at + ASK_AFTER_SECONDS
            self._ask_timer = self.loop.call_at(asked, self._ask_whether_there, ASK_AGAIN_SECONDS)
            return True
        head = self._head_timer is not None and self._head_bytes > 0
        if (head and not waiting) or (waiting and not self.cycle.response_started and not self.pipeline):
            part = "head" if head else "body"
            self._refuse(BAD_REQUEST, f"the client ended the connection before the request's {part} was whole")
        return False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_timer is not None:  # else a trailer, which may be left out (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._rest_bytes -= REST_OF_A_BYTE * len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._head_is_whole()
        self._bodies += 1
        self._body = self._bodies
        self._rest_bytes = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._body = None
        if not self.parser.should_upgrade():
            self._whole_at = self.loop.time()
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BAD_REQUEST, msg)

    def _feed(self, data: bytes) -> None:
        """Parse. The parser holds what follows a head with an upgrade for the other protocol's, and stops there: such
        a head is read once more, without its wish, by a new parser.
        """
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self._refuse(METHOD_NOT_ALLOWED, "CONNECT: the service is no proxy")
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(option for option in value.split(b",") if option.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join((*lines, b"", b""))

    def _ask_whether_there(self, pause: float) -> None:
        """Find out whether a client that sends no more still waits, or has gone.

        Both look the same until something is written: then the system of one that has gone refuses it, and the
        connection is lost. An interim answer is what may be written at any time (RFC 9110, 15.2), except to HTTP/1.0.
        Nobody is asked in the first second, by when most answers are there: not every script knows interim answers.
        """
        if self.cycle.response_started or self.cycle.scope["http_version"] == "1.0":
            return
        if not self.pipeline:
            self.transport.write(CONTINUE)
        self._ask_timer = self.loop.call_later(pause, self._ask_whether_there, 2 * pause)

    def _expect_head(self) -> None:
        self._head_is_whole()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_whole(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, kind: ProblemType, detail: str, **members: Any) -> None:
        """Answer with a problem, unless another answer is on its way, and end the connection."""
        self._head_is_whole()
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        body = json.dumps(kind.body(detail, **members)).encode()
        head = (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {uuid.uuid4().hex}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
