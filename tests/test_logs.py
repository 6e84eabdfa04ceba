"""A record is a line, and no line is anything but a record's."""

import io
import logging
import re

import pytest

from app.logs import FORMAT, OneLineFormatter, printable

FORGED = "2026-01-01 00:00:00,000 INFO impasto.http: GET /forged 200 1 ms forged"
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]


@pytest.fixture
def written() -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(OneLineFormatter(FORMAT))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream


@pytest.mark.parametrize("end", BREAKS)
def test_a_message_is_one_line_whatever_it_holds(written: tuple[logging.Logger, io.StringIO], end: str) -> None:
    logger, stream = written
    logger.warning("a name: %s", f"a{end}{FORGED}")
    logger.error("trailing line ends are none\n")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(f"WARNING test: a name: a{printable(end)}{FORGED}")
    assert second.endswith("trailing line ends are none")


@pytest.mark.parametrize("end", BREAKS)
def test_an_exceptions_text_can_not_pass_for_a_record(written: tuple[logging.Logger, io.StringIO], end: str) -> None:
    logger, stream = written
    try:
        raise ValueError(f"a{end}{FORGED}\x1b[2J")
    except ValueError:
        logger.exception("request failed", stack_info=True)
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR test: request failed")
    assert len(rest) > 4, "a traceback can be read"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert re.search(r"ValueError: a.*", stream.getvalue())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/styles/стиль 1.jpg", "/styles/стиль 1.jpg"),
        ("\x1b[31m\x07\x00\x7f", r"\x1b[31m\x07\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj.\u202eexe\u2066", r"gpj.\u202eexe\u2066"),
        ("\ufeff\u200b\ud800", r"\ufeff\u200b\ud800"),
    ],
)
def test_what_steers_a_terminal_or_turns_text_around_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
