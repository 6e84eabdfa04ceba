"""Files of which ranges may be asked for."""

import asyncio
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from app.http.problems import RANGE_NOT_SATISFIABLE, UNKNOWN_JOB, Problem, problem_response


class RangedFile(FileResponse):
    """starlette's, but a range that is not there is a problem, and one that makes no sense is passed over, as RFC 9110,
    14.2, has it. A file that went in the meantime is an unknown job.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await asyncio.to_thread(Path(self.path).stat)
        except FileNotFoundError:
            problem = Problem(UNKNOWN_JOB, "the job was forgotten just now", field="id")
            await problem_response(problem, scope["root_path"])(scope, receive, send)
            return
        self.set_stat_headers(self.stat_result)
        refused = 0

        async def judge(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                refused = message["status"] if message["status"] in (400, 416) else 0
            if not refused:
                await send(message)

        await super().__call__(scope, receive, judge)
        if refused == 400:
            plain = [(name, value) for name, value in scope["headers"] if name != b"range"]
            await super().__call__({**scope, "headers": plain}, receive, send)
        elif refused:
            problem = Problem(RANGE_NOT_SATISFIABLE, f"the file has {self.stat_result.st_size} bytes", field="Range")
            problem.headers["Content-Range"] = f"bytes */{self.stat_result.st_size}"
            await problem_response(problem, scope["root_path"])(scope, receive, send)
