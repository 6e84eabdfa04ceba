"""Zip archives for tests."""

import io
from collections.abc import Mapping
from zipfile import ZIP_DEFLATED, ZipFile


def archive(files: Mapping[str, bytes], compression: int = ZIP_DEFLATED) -> bytes:
    """A zip archive; a name that ends with a slash is a folder's."""
    file = io.BytesIO()
    with ZipFile(file, "w", compression) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return file.getvalue()
