"""multipart/form-data as it streams in: every limit is held while the bytes pass, and files spool to disk.

Parsing is python-multipart's; what is here is what may pass. The first limit a body breaks ends the upload.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, cast

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
MAX_TEXT_BYTES: Final = 1024
MAX_FILES: Final = 17
IN_MEMORY_BYTES: Final = 1 << 16


@dataclass
class File:
    """An uploaded file: at most 64 KiB of it in memory, the rest on disk until it is closed."""

    data: BinaryIO
    size: int = 0


@dataclass
class Form:
    """Texts and files by field name, each name's in the order sent."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[File]] = field(default_factory=dict)

    def close(self) -> None:
        """Give back what the files hold."""
        for files in self.files.values():
            for file in files:
                file.data.close()


async def read_form(
    content_type: str | None,
    content_length: str | None,
    stream: AsyncIterator[bytes],
    *,
    max_file_bytes: int,
    max_request_bytes: int,
) -> Form:
    """Read a whole form, or raise the Problem it has; then nothing is kept of it."""
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {kind.decode('latin-1', 'replace')[:100] or 'missing'}; expected multipart/form-data",
            field="Content-Type",
        )
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise Problem(MALFORMED_MULTIPART, "Content-Type names no boundary", field="Content-Type")
    if content_length is not None and content_length.isdigit() and int(content_length) > max_request_bytes:
        raise _request_too_large(max_request_bytes)
    reader = _Reader(max_file_bytes)
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
        )
        total = 0
        async for chunk in stream:
            total += len(chunk)
            if total > max_request_bytes:
                raise _request_too_large(max_request_bytes)
            parser.write(chunk)
        if not reader.ended:
            raise Problem(MALFORMED_MULTIPART, f"the body ends after {total} bytes, before its closing boundary")
    except FormParserError as error:
        reader.form.close()
        raise Problem(MALFORMED_MULTIPART, f"the body can't be parsed: {error}") from None
    except BaseException:
        reader.form.close()
        raise
    return reader.form


def _request_too_large(limit: int) -> Problem:
    return Problem(REQUEST_TOO_LARGE, f"the request has more than {limit} bytes", limit=limit)


class _Reader:
    """Collects the parser's callbacks into a form."""

    def __init__(self, max_file_bytes: int) -> None:
        self.form = Form()
        self.ended = False
        self._max_file_bytes = max_file_bytes
        self._parts = 0
        self._files = 0

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Problem(REQUEST_TOO_LARGE, f"the form has more than {MAX_PARTS} parts", limit=MAX_PARTS)
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._name = ""
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
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        if b"name" not in options:
            raise Problem(MALFORMED_MULTIPART, f"part {self._parts} has no name in its Content-Disposition")
        self._name = options[b"name"].decode("utf-8", "replace")[:100]
        if b"filename" in options:
            self._files += 1
            if self._files > MAX_FILES:
                raise Problem(REQUEST_TOO_LARGE, f"the form has more than {MAX_FILES} files", limit=MAX_FILES)
            spooled = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
            self._file = File(cast(BinaryIO, spooled))
            self._named = bool(options[b"filename"])
            self.form.files.setdefault(self._name, []).append(self._file)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._text += data[start:end]
            if len(self._text) > MAX_TEXT_BYTES:
                raise Problem(
                    FIELD_TOO_LARGE,
                    f"{self._name} has more than {MAX_TEXT_BYTES} bytes of text; a file needs a file name",
                    field=self._name,
                    limit=MAX_TEXT_BYTES,
                )
            return
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
        if self._file is None:
            text = self._text.decode("utf-8", "replace").strip()
            self.form.texts.setdefault(self._name, []).append(text)
        elif not self._named and not self._file.size:
            # A browser sends a file input that was left empty as a file of no name and no bytes.
            self.form.files[self._name].remove(self._file)
        else:
            self._file.data.seek(0)

    def on_end(self) -> None:
        self.ended = True
