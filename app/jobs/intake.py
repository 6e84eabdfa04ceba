"""The way in: uploads to a folder of the job's own, what they are looked at, and the record written last."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from app.jobs.folder import DataFolder
from app.jobs.record import Advance, Asked, Callback, Job, State, StoredFile
from app.jobs.retention import Retention, tidy
from app.jobs.store import Store, StoreDown
from app.jobs.work import Kind
from app.options import Options


class KeyReused(Exception):
    """An Idempotency-Key that came with another job before."""


class TooManyJobs(Exception):
    """As many jobs wait or run as may, in all or of one client."""

    def __init__(self, text: str, limit: int) -> None:
        super().__init__(text)
        self.limit = limit


class NoRoom(Exception):
    """All jobs together would hold too many bytes, though nothing is left that could be forgotten."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"jobs would hold more than {limit} bytes, the most they may")
        self.limit = limit


@dataclass(frozen=True)
class NewFile:
    """An upload; see `app.jobs.work.Upload`."""

    field: str
    name: str
    data: BinaryIO
    bytes: int


@dataclass(frozen=True)
class NewJob:
    """What a caller asks for; see `app.jobs.record.Job` and `app.jobs.work.Order`."""

    contents: Sequence[NewFile]
    styles: Sequence[NewFile]
    masks: Sequence[NewFile]
    options: Options
    accept: str
    fields: dict[str, tuple[str, ...]]
    client: str
    owner: str
    key: str
    callback: str
    traceparent: str


@dataclass(frozen=True)
class Draft:
    """A job whose files are on disk and whose record is not: about `pixels` of results."""

    job: Job
    pixels: int


class Intake:
    """Takes jobs of `kinds`, while there is room and no more than `most` wait or run, `most_of_one` of one client.

    A kind is asked before those behind it whether a job is its own.
    """

    def __init__(
        self,
        store: Store,
        folder: DataFolder,
        kinds: Mapping[str, Kind],
        most: int,
        most_of_one: int,
        retention: Retention,
    ) -> None:
        self._store = store
        self._folder = folder
        self._kinds = kinds
        self._most = most
        self._most_of_one = most_of_one
        self._retention = retention

    def draft(self, new: NewJob) -> Draft | Job:
        """Look at what is asked and keep its files; or the job that came by the same key.

        Raises Fault, KeyReused, TooManyJobs, NoRoom, StoreFull, OSError, and then keeps nothing.
        """
        fingerprint = _fingerprint(new)
        if new.key and (known := self._store.by_key(new.owner, new.key)):
            return _same(known, fingerprint)
        self._check_places(new.client)
        asked = Asked(
            contents=_named("content", new.contents),
            styles=_named("style", new.styles),
            masks=_named("mask", new.masks),
            options=new.options,
            accept=new.accept,
            fields=new.fields,
        )
        if not tidy(self._store, self._folder, self._retention, asked.bytes):
            raise NoRoom(self._retention.bytes)
        kind = next(kind for kind in self._kinds.values() if kind.takes(new.contents[0].data))
        id = secrets.token_hex(16)
        names = [stored.file for stored in (*asked.contents, *asked.styles, *asked.masks)]
        files = [file.data for file in (*new.contents, *new.styles, *new.masks)]
        folder = self._folder.keep(id, list(zip(names, files, strict=True)))
        try:
            plan = kind.check(asked.order(folder))
        except BaseException:
            self._folder.remove(id)
            raise
        job = Job(
            id=id,
            client=new.client,
            owner=new.owner,
            kind=kind.name,
            state=State.QUEUED,
            created=self._store.now(),
            asked=asked,
            key=new.key,
            fingerprint=fingerprint,
            progress=Advance(total=plan.total, unit=plan.unit),
            callback=Callback(url=new.callback) if new.callback else None,
            traceparent=new.traceparent,
            bytes=asked.bytes,
        )
        return Draft(job, plan.pixels)

    def keep(self, draft: Draft) -> Job:
        """Take a job: it is on disk then. The same key gives the same job.

        Raises KeyReused, TooManyJobs, NoRoom, StoreFull, StoreDown.
        """
        try:
            with self._store.alone():
                self._check_room(draft.job)  # others may have come since
                job = self._store.add(draft.job)
        except StoreDown:
            raise  # it may have been taken: what is nobody's is found by its age
        except BaseException:
            self.drop(draft)
            raise
        if job.id != draft.job.id:
            self.drop(draft)
        return _same(job, draft.job.fingerprint)

    def drop(self, draft: Draft) -> None:
        """Forget a job that was not taken."""
        self._folder.remove(draft.job.id)

    def _check_room(self, job: Job) -> None:
        if job.key and self._store.by_key(job.owner, job.key):
            return
        self._check_places(job.client)
        if self._store.bytes() + job.bytes > self._retention.bytes:
            raise NoRoom(self._retention.bytes)

    def _check_places(self, client: str) -> None:
        counts = self._store.counts()
        if counts[State.QUEUED] + counts[State.RUNNING] >= self._most:
            raise TooManyJobs(f"{self._most} jobs wait or run, the most there may be", self._most)
        if self._store.held(client) >= self._most_of_one:
            raise TooManyJobs(
                f"{self._most_of_one} jobs of this client wait or run, the most there may be", self._most_of_one
            )


def _same(job: Job, fingerprint: str) -> Job:
    if job.fingerprint != fingerprint:
        raise KeyReused(f"it came with another job: {job.id}")
    return job


def _named(field: str, files: Sequence[NewFile]) -> tuple[StoredFile, ...]:
    return tuple(
        StoredFile(file=f"{field}-{n}", field=file.field, name=file.name, bytes=file.bytes)
        for n, file in enumerate(files)
    )


def _fingerprint(new: NewJob) -> str:
    """Equal for equal jobs."""
    digest = hashlib.sha256()
    for files in (new.contents, new.styles, new.masks):
        for file in files:
            file.data.seek(0)
            digest.update(f"\0{file.field}\0{file.name}\0{file.bytes}\0".encode())
            while chunk := file.data.read(1 << 20):
                digest.update(chunk)
    digest.update(repr((new.options.model_dump(), new.accept, sorted(new.fields.items()), new.callback)).encode())
    return digest.hexdigest()
