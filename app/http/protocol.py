"""HTTP/1.1 as uvicorn speaks it, with a bound on what comes before a body, and problems for what is not HTTP."""

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.problems import BAD_REQUEST, HEADERS_TOO_LARGE, MEDIA_TYPE, ProblemType

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_SECONDS: Final = 10.0


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol, but a request's head is bounded in bytes and in time, and every refusal is a problem."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_whole()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                text = f"the request's line and headers have more than {MAX_HEAD_BYTES} bytes"
                self._refuse(HEADERS_TOO_LARGE, text, limit=MAX_HEAD_BYTES)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_is_whole()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BAD_REQUEST, msg)

    def _expect_head(self) -> None:
        self._head_is_whole()
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_whole(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, kind: ProblemType, detail: str, **members: Any) -> None:
        self._head_is_whole()
        body = json.dumps(kind.body(detail, **members)).encode()
        head = (
            f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {uuid.uuid4().hex}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
