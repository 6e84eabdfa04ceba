"""multipart/form-data as it streams in: every limit is held while the bytes pass, and files spool to disk.

Parsing is python-multipart's; what is here is what may pass. The first limit a body breaks ends the upload.
"""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, TypeVar, cast

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.http.problems import (
    FIELD_TOO_LARGE,
    FILE_TOO_LARGE,
    MALFORMED_MULTIPART,
    REQUEST_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
)

# Eight styles, ids, weights and masks, the photo and the six single fields need 39; files are 17 of them.
MAX_PARTS: Final = 64
MAX_PART_HEADERS: Final = 32
MAX_TEXT_BYTES: Final = 1024
SCORES: Final = ("keyframes",)  # fields that are written by programs
MAX_SCORE_BYTES: Final = 65_536
MAX_NAME: Final = 255
MAX_FILES: Final = 17
MAX_PREAMBLE_BYTES: Final = 1 << 16
IN_MEMORY_BYTES: Final = 1 << 16  # of all files of a request together

# An item of a list, as PHP and Rails spell it: style[] or style[0].
ITEM: Final = re.compile(r"([^\[\]]+)\[([0-9]{0,4})\]")
LAST: Final = 10_000
QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"')
EXTENDED_FILENAME: Final = re.compile(r";\s*filename\*\s*=", re.IGNORECASE)
PLAIN_ENCODINGS: Final = ("", "7bit", "8bit", "binary")

T = TypeVar("T")


@dataclass
class File:
    """An uploaded file: in memory if it is small, else on disk until it is closed.

    `named` is whether the client gave it a file name, be it empty, or left that away as from a text; `name` is that
    file name.
    """

    data: BinaryIO
    size: int = 0
    named: bool = True
    name: str = ""


@dataclass
class Form:
    """Texts and files by field name, each name's in the order sent; style[] and style[0] are style, in their order."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[File]] = field(default_factory=dict)

    def close(self) -> None:
        """Give back what the files hold."""
        for files in self.files.values():
            for file in files:
                file.data.close()


async def read_form(
    headers: Mapping[str, str],
    stream: AsyncIterator[bytes],
    *,
    file_fields: Collection[str],
    max_file_bytes: int,
    max_request_bytes: int,
    max_contents: int = 1,
    folder: Path | None = None,
) -> Form:
    """Read a whole form, or raise the Problem it has; then nothing is kept of it.

    `headers` are the request's, by lower-case name. `file_fields` are files even without a file name. Files wait in
    `folder`, else where temporary files do; `max_contents` is how many photos there may be.
    """
    boundary = _boundary(headers)
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > max_request_bytes:
        raise _request_too_large(max_request_bytes)
    reader = _Reader(file_fields, max_file_bytes, max_contents - 1, folder)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.on_part_begin,
                "on_header_field": reader.on_header_field,
                "on_header_value": reader.on_header_value,
                "on_header_end": reader.on_header_end,
                "on_headers_finished": reader.on_headers_finished,
                "on_part_data": reader.on_part_data,
                "on_part_end": reader.on_part_end,
                "on_end": reader.on_end,
            },
            max_header_count=MAX_PART_HEADERS,
        )
        # The parser wants a boundary at once, where RFC 2046 allows a preamble: to it, that is a part of its own.
        parser.write(b"--%b\r\n\r\n\r\n" % boundary)
        total = 0
        async for chunk in stream:
            total += len(chunk)
            if total > max_request_bytes:
                raise _request_too_large(max_request_bytes)
            parser.write(chunk)
        if not reader.ended:
            missing = "its closing boundary" if reader.begun else "the boundary that Content-Type names"
            raise Problem(MALFORMED_MULTIPART, f"the body ends after {total} bytes, before {missing}")
    except FormParserError as error:
        reader.close()
        raise Problem(MALFORMED_MULTIPART, f"the body can't be parsed: {error}") from None
    except BaseException:
        reader.close()
        raise
    return reader.form()


def _boundary(headers: Mapping[str, str]) -> bytes:
    """What separates the parts, of a body that is multipart/form-data and nothing on top of it."""
    for name, plain in (("content-encoding", ("", "identity")), ("transfer-encoding", ("", "chunked"))):
        coding = headers.get(name, "").strip().lower()
        if coding not in plain:
            title = name.title()
            problem = Problem(UNSUPPORTED_MEDIA_TYPE, f"{title} is {coding[:100]}; send the body plain", field=title)
            problem.headers["Accept-Encoding"] = "identity"
            raise problem
    kind, parameters = parse_options_header(headers.get("content-type"))
    if kind != b"multipart/form-data":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {kind.decode('latin-1', 'replace')[:100] or 'missing'}; expected multipart/form-data",
            field="Content-Type",
        )
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise Problem(MALFORMED_MULTIPART, "Content-Type names no boundary", field="Content-Type")
    return boundary


def _request_too_large(limit: int) -> Problem:
    return Problem(REQUEST_TOO_LARGE, f"the request has more than {limit} bytes", limit=limit)


class _Reader:
    """Collects the parser's callbacks into a form. Part 0 is the preamble."""

    def __init__(
        self, file_fields: Collection[str], max_file_bytes: int, further_files: int, folder: Path | None
    ) -> None:
        self.ended = False
        self._max_parts = MAX_PARTS + further_files
        self._max_files = MAX_FILES + further_files
        self._folder = folder
        self._file_fields = file_fields
        self._max_file_bytes = max_file_bytes
        self._part = -1
        self._preamble = 0
        self._memory = IN_MEMORY_BYTES
        # (name, place in a list, what came), in the order sent
        self._texts: list[tuple[str, int, str]] = []
        self._files: list[tuple[str, int, File]] = []

    @property
    def begun(self) -> bool:
        """Whether the first real part has come."""
        return self._part > 0

    def form(self) -> Form:
        return Form(_by_name(self._texts), _by_name(self._files))

    def close(self) -> None:
        self.form().close()

    def on_part_begin(self) -> None:
        self._part += 1
        if self._part > self._max_parts:
            raise Problem(REQUEST_TOO_LARGE, f"the form has more than {self._max_parts} parts", limit=self._max_parts)
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._text = bytearray()
        self._file: File | None = None

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        if self._part == 0:
            return
        disposition = self._header(b"content-disposition")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise Problem(MALFORMED_MULTIPART, f"part {self._part} has no name in its Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")[:100]
        self._place = LAST
        if item := ITEM.fullmatch(self._name):
            self._name, self._place = item[1], int(item[2] or LAST)
        encoding = self._header(b"content-transfer-encoding").strip().lower()
        if encoding not in PLAIN_ENCODINGS:
            text = f"{self._name} has Content-Transfer-Encoding {encoding[:50]}; send its bytes as they are"
            raise Problem(UNSUPPORTED_MEDIA_TYPE, text, field=self._name)
        extended = EXTENDED_FILENAME.search(QUOTED.sub("", disposition)) is not None
        named = b"filename" in options or extended
        if named or self._name in self._file_fields:
            most = self._max_files
            if len(self._files) == most:
                raise Problem(REQUEST_TOO_LARGE, f"the form has more than {most} files", limit=most)
            folder = str(self._folder) if self._folder else None
            spooled = SpooledTemporaryFile(max(1, self._memory), dir=folder)  # noqa: SIM115
            name = options.get(b"filename", b"").decode("utf-8", "replace")[:MAX_NAME]
            self._file = File(cast(BinaryIO, spooled), named=named, name=name)
            self._may_be_none = not options.get(b"filename") and not extended
            self._files.append((self._name, self._place, self._file))

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == 0:
            self._preamble += end - start
            if self._preamble > MAX_PREAMBLE_BYTES:
                text = (
                    f"the boundary that Content-Type names is not in the first {MAX_PREAMBLE_BYTES} bytes of the body"
                )
                raise Problem(MALFORMED_MULTIPART, text, limit=MAX_PREAMBLE_BYTES)
        elif self._file is None:
            self._text += data[start:end]
            most = MAX_SCORE_BYTES if self._name in SCORES else MAX_TEXT_BYTES
            if len(self._text) > most:
                raise Problem(
                    FIELD_TOO_LARGE,
                    f"{self._name} has more than {most} bytes of text",
                    field=self._name,
                    limit=most,
                )
        else:
            self._file.size += end - start
            if self._file.size > self._max_file_bytes:
                raise Problem(
                    FILE_TOO_LARGE,
                    f"{self._name} has more than {self._max_file_bytes} bytes",
                    field=self._name,
                    limit=self._max_file_bytes,
                )
            self._file.data.write(data[start:end])

    def on_part_end(self) -> None:
        if self._part == 0:
            return
        if self._file is None:
            text = self._text.decode("utf-8", "replace").strip()
            self._texts.append((self._name, self._place, text))
        elif self._may_be_none and not self._file.size:
            # A browser sends a file input that was left empty as a file of no name and no bytes.
            self._files.pop()[2].data.close()
        else:
            self._file.data.seek(0)
            if self._file.size <= self._memory:
                self._memory -= self._file.size

    def on_end(self) -> None:
        if self._preamble and not self.begun:
            raise Problem(MALFORMED_MULTIPART, "the boundary that Content-Type names is only at the end of the body")
        self.ended = True

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")


def _by_name(items: list[tuple[str, int, T]]) -> dict[str, list[T]]:
    named: dict[str, list[T]] = {}
    for name, _, item in sorted(items, key=lambda item: item[1]):
        named.setdefault(name, []).append(item)
    return named
