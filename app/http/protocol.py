"""HTTP/1.1 as uvicorn speaks it, but what can't be parsed as HTTP is answered like every other fault."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.http.problems import BAD_REQUEST, MEDIA_TYPE


class ProblemProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a problem for its plain 400."""

    def send_400_response(self, msg: str) -> None:
        body = json.dumps(BAD_REQUEST.body(msg)).encode()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()
