"""A client of the service for Python programs.

    from app.client import Impasto

    with Impasto("http://127.0.0.1:8000") as impasto:
        impasto.stylize("photo.jpg", "painting.jpg", strength=0.8).save("result.jpg")

`AsyncImpasto` is the same with `await`.
"""

from app.client.asynchronous import AsyncImpasto
from app.client.conversation import ReadyStyle, Result
from app.client.errors import ImpastoError, ImpastoProblem, NotAPicture, Unreachable
from app.client.pictures import Picture, StyleId
from app.client.synchronous import Impasto

__all__ = [
    "AsyncImpasto",
    "Impasto",
    "ImpastoError",
    "ImpastoProblem",
    "NotAPicture",
    "Picture",
    "ReadyStyle",
    "Result",
    "StyleId",
    "Unreachable",
]
