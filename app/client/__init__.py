"""A client of the service for Python programs.

    from app.client import Impasto

    with Impasto("http://127.0.0.1:8000") as impasto:
        impasto.stylize("photo.jpg", "painting.jpg", strength=0.8).save("result.jpg")

        job = impasto.begin(["a.jpg", "b.jpg"], "painting.jpg", size=6000)    # goes on by itself
        impasto.finished(job.id, progress=print).save("results.zip")

`AsyncImpasto` is the same with `await`.
"""

from app.client.asynchronous import AsyncImpasto
from app.client.conversation import Options, ReadyStyle, Result
from app.client.errors import ImpastoError, ImpastoProblem, NotAPicture, Unreachable
from app.client.jobs import Job
from app.client.pictures import Picture, StyleId
from app.client.synchronous import Impasto

__all__ = [
    "AsyncImpasto",
    "Impasto",
    "ImpastoError",
    "ImpastoProblem",
    "Job",
    "NotAPicture",
    "Options",
    "Picture",
    "ReadyStyle",
    "Result",
    "StyleId",
    "Unreachable",
]
