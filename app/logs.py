"""The log: no line of it is a client's, whatever a client sends."""

import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def printable(text: str) -> str:
    r"""The text, with escapes such as `\n` and `\x1b` for what ends a line, steers a terminal or turns text around."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class OneLineFormatter(logging.Formatter):
    """One line a record; the lines of a traceback follow it set in, so that none can pass for a record."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record).rstrip())

    def formatException(self, ei: ExceptionInfo) -> str:  # noqa: N802
        return _set_in(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        return _set_in(super().formatStack(stack_info))


def _set_in(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.split("\n"))


@dataclass(frozen=True)
class RequestFacts:
    """What tells a request, and the trace it is part of (empty for none), from others."""

    request_id: str
    trace_id: str


# The request that is being answered, in its own task and those it starts.
about_request: ContextVar[RequestFacts | None] = ContextVar("about_request", default=None)

# What a record has of its own accord: all else is a fact that the caller gave along.
STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the request's id and its trace's."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (facts := about_request.get()) is not None:
            told |= {name: value for name, value in vars(facts).items() if value}
        told |= {name: value for name, value in vars(record).items() if name not in STANDARD}
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str)


def log_to_stderr(level: str, format: str = "text") -> None:
    """Send every logger's records from `level` up, and what libraries warn of, to standard error, as text or json."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else OneLineFormatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what it warns of is answered to the client
