"""What can go wrong with a request.

ImpastoError
 ├─ ImpastoProblem   the service answered with a problem (RFC 9457)
 ├─ Unreachable      the service gave no answer
 └─ NotAPicture      what was given as a picture is none, before anything was sent
"""

from typing import Any


class ImpastoError(Exception):
    """Any of them."""


class ImpastoProblem(ImpastoError):
    """The service's own words; `type` is stable, as "queue-full", `errors` names each field that is wrong.

    `retry_after`: seconds after which it may go well, where the service said so.
    """

    def __init__(self, status: int, body: dict[str, Any], retry_after: float | None) -> None:
        super().__init__(str(body.get("detail") or body.get("title") or f"status {status}"))
        self.status = status
        self.type = str(body.get("type", "")).rpartition("/")[2]
        self.remedy: str | None = body.get("remedy")
        self.errors: list[dict[str, Any]] = body.get("errors", [])
        self.retry_after = retry_after

    @property
    def style_forgotten(self) -> bool:
        """Whether a style_id was unknown: its picture must be uploaded again."""
        return any(error.get("field") == "style_id" for error in self.errors)


class Unreachable(ImpastoError):
    """There was no answer: wrong address, no network, or the service is down."""


class NotAPicture(ImpastoError):
    """Neither a path, nor bytes, nor a PIL picture, nor a uint8 array."""
