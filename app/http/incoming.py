"""Reads the form of a request, within its limits of bytes and time."""

import asyncio
import math
import time
from pathlib import Path

from starlette.requests import Request

from app.files import DISK_FULL
from app.http.access import client_of
from app.http.fields import FILE_FIELDS
from app.http.forms import Form, read_form
from app.http.problems import DEADLINE_PASSED, STORAGE_FULL, UPLOAD_TIMEOUT, Problem
from app.http.uploads import UploadLimits, Uploads


async def upload(
    request: Request,
    uploads: Uploads,
    limits: UploadLimits,
    since: float,
    timeout: float = math.inf,
    folder: Path | None = None,
) -> Form:
    """The form of a request that came at `since`, on the clock of time.monotonic, and has `timeout` seconds in all.

    Files wait in `folder`, else where temporary files do. Raises Problem.
    """
    try:
        async with (
            asyncio.timeout(min(limits.seconds, since + timeout - time.monotonic())),
            uploads.place(client_of(request).name) as place,
        ):
            return await read_form(
                request.headers,
                place.paced(request.stream()),
                file_fields=FILE_FIELDS,
                max_file_bytes=limits.file_bytes,
                max_request_bytes=limits.request_bytes,
                max_contents=limits.contents,
                folder=folder,
            )
    except TimeoutError:
        if timeout <= limits.seconds:
            raise deadline_passed(timeout) from None
        detail = f"the upload was not complete after {limits.seconds:g} seconds"
        raise Problem(UPLOAD_TIMEOUT, detail, limit=limits.seconds) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        name = "temporary folder" if folder is None else "folder of jobs"
        raise Problem(STORAGE_FULL, f"the {name} is full", retry_after=5) from None


def deadline_passed(timeout: float) -> Problem:
    """The answer to a request whose `timeout` seconds are over."""
    return Problem(DEADLINE_PASSED, f"the result was not ready within {timeout:g} seconds", limit=timeout)
