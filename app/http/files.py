"""Files of jobs, which may go while they are asked for."""

import asyncio
from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from app.http.problems import UNKNOWN_JOB, Problem, problem_response


class JobFile(FileResponse):
    """starlette's, but a file that went in the meantime is an unknown job."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await asyncio.to_thread(Path(self.path).stat)
        except FileNotFoundError:
            problem = Problem(UNKNOWN_JOB, "the job was forgotten just now", field="id")
            await problem_response(problem, scope["root_path"])(scope, receive, send)
            return
        self.set_stat_headers(self.stat_result)
        await super().__call__(scope, receive, send)
