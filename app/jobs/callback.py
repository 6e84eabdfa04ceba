"""Tells a job's end to the address its caller named, signed.

Only hosts that a setting allows are told, over https, without following where they lead. One that does not answer is
told again, after ever longer pauses, over a restart too.
"""

import json
import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from app.jobs.record import Job
from app.jobs.store import Store
from app.signatures import signature, signing_key

logger = logging.getLogger("impasto.jobs")

PAUSES: Final = (5.0, 30.0, 300.0, 1800.0, 7200.0)  # seconds between tries
TIMEOUT: Final = 10.0


class CallbackRefused(Exception):
    """An address that nobody is told at; the message says why."""


def check_callback(url: str, hosts: Collection[str]) -> None:
    """Raise CallbackRefused unless it is an https address of one of these hosts, each as `host` or `host:port`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise CallbackRefused("expected an address, as https://hooks.example/impasto") from None
    if parts.scheme != "https" or not host or "@" in parts.netloc or not url.isprintable():
        raise CallbackRefused("expected an address that begins with https:// and names a host, without a password")
    named = host if port in (None, 443) else f"{host}:{port}"
    if named not in hosts:
        raise CallbackRefused(f"the service tells nobody at {named[:200]}: its operator can allow it")


class Callbacks:
    """Sends what is due. `describe` gives a job as the API shows it."""

    def __init__(
        self, store: Store, hosts: Collection[str], secret: str, describe: Callable[[Job], dict[str, Any]]
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._key = signing_key(secret)
        self._describe = describe

    def send_due(self) -> None:
        """Try once all that is due now; for a thread. Raises StoreFull."""
        due = self._store.calling()
        if due:
            with httpx.Client(timeout=TIMEOUT, follow_redirects=False) as client:
                for job in due:
                    self._send(client, job)

    def _send(self, client: httpx.Client, job: Job) -> None:
        callback = job.callback
        if callback is None:
            return
        try:
            check_callback(callback.url, self._hosts)  # the setting may have changed since
            body, headers = self._message(job)
            answer = client.post(callback.url, content=body, headers=headers)
            reason = None if answer.is_success else f"it answered {answer.status_code}"
        except CallbackRefused as error:
            self._give_up(job, str(error))
            return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = repr(error)
        if reason is None:
            self._store.change(job.id, callback=None)
        elif callback.tries >= len(PAUSES):
            self._give_up(job, reason)
        else:
            logger.warning("job %s: its callback is tried again: %s", job.id, reason)
            later = callback.model_copy(update={"tries": callback.tries + 1})
            self._store.change(job.id, callback=later, due=self._store.now() + PAUSES[callback.tries])

    def _give_up(self, job: Job, reason: str) -> None:
        logger.warning("job %s: its callback is given up: %s", job.id, reason)
        self._store.change(job.id, callback=None)

    def _message(self, job: Job) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a webhook; one that is sent again has the same id."""
        now = int(time.time())
        event = {
            "type": f"job.{job.state}",
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat(),
            "data": self._describe(job),
        }
        body = json.dumps(event).encode()
        id = f"job_{job.id}"
        return body, {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._key, id, now, body),
        }
