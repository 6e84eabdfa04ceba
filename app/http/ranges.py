"""Ranges of files, as players and download managers ask for them, and as anybody may."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import RANGE_NOT_SATISFIABLE, Problem, problem_response

ONE: Final = rb"\s*(?:(\d{1,18})-(\d{0,18})|-\d{1,18})\s*"
RANGES: Final = re.compile(rb"bytes\s*=" + ONE + rb"(?:," + ONE + rb")*", re.IGNORECASE)
BOTH_ENDS: Final = re.compile(rb"(\d+)-(\d+)")


class Ranges:
    """Passes over a range that makes no sense, as RFC 9110, 14.2, has it; one that is not there is a problem.

    Of starlette's files both are refused in plain text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = [value for name, value in scope["headers"] if name == b"range"] if scope["type"] == "http" else []
        if not asked:
            await self.app(scope, receive, send)
        elif len(asked) > 1 or not _makes_sense(asked[0]):
            plain = [(name, value) for name, value in scope["headers"] if name != b"range"]
            await self.app({**scope, "headers": plain}, receive, send)
        else:
            await self._judged(scope, receive, send)

    async def _judged(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False
        root_path = scope["root_path"]  # below a mount, as of static files, it becomes the mount's own

        async def judge(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == RANGE_NOT_SATISFIABLE.status:
                refused = True
                there = Headers(raw=message["headers"])["content-range"]
                size = there.rpartition("/")[2]
                problem = Problem(RANGE_NOT_SATISFIABLE, f"the file has {size} bytes", field="Range", limit=int(size))
                problem.headers["Content-Range"] = there
                await problem_response(problem, root_path)(scope, receive, send)
            if not refused:
                await send(message)

        await self.app(scope, receive, judge)


def _makes_sense(text: bytes) -> bool:
    return RANGES.fullmatch(text.strip()) is not None and all(
        int(first) <= int(last) for first, last in BOTH_ENDS.findall(text)
    )
