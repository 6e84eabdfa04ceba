"""The real service, which keeps what is finished of a large photo after less time: tests have small ones."""

from app.engine import begun

begun.FIRST_SECONDS = 0.3  # type: ignore[misc]
begun.LEAST_SECONDS = 0.1  # type: ignore[misc]

from app.main import app  # noqa: E402

__all__ = ["app"]
