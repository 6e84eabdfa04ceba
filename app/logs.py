"""The log: no line of it is a client's, whatever a client sends."""

import logging
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


def log_to_stderr(level: str) -> None:
    """Send every logger's records from `level` up, and what libraries warn of, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what it warns of is answered to the client
