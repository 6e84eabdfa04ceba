"""The file of keys: a line a client, with the SHA-256 of its key and its limits; the keys themselves are kept nowhere.

# name  SHA-256 of the key  limits a minute, where they are not the service's own; 0 for none
gallery 2bb80d53... requests=600 megapixels=1000
shop    9f86d081...
"""

import hashlib
import hmac
import logging
import re
import secrets
from os import stat_result
from pathlib import Path
from typing import Final

from app.access.clients import Client
from app.files import write_whole

logger = logging.getLogger("impasto.access")

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
HEAD: Final = "# name, SHA-256 of the key, limits a minute as requests=600 megapixels=1000\n"
PREFIX: Final = "impasto_"  # so that scanners for leaked secrets know one
RANDOM_BYTES: Final = 32


class KeysError(Exception):
    """The file of keys can't be used; the message is one line for the operator, without anything secret."""


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class Keys:
    """The keys of a file, which is read again when it changes; while it is not sound, those read last hold.

    `requests` and `megapixels` a minute are for lines that name none. Raises KeysError where it can't be read first.
    """

    def __init__(self, path: Path, requests: int | None, megapixels: float | None) -> None:
        self._path = path
        self._requests = requests
        self._megapixels = megapixels
        self._seen = self._stamp()
        self._clients = self._read()
        if not self._clients:
            logger.warning("%s holds no keys: nobody may use the service", path)

    def client(self, key: str) -> Client | None:
        """Whose key it is. As long for a wrong one as for a right one."""
        self._read_again()
        digest, found = _digest(key), None
        for known, client in self._clients.items():
            if hmac.compare_digest(known, digest):
                found = client
        return found

    def _read_again(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._clients = self._read()
        except KeysError as error:
            logger.error("%s; the keys read before hold on", error)  # noqa: TRY400
        else:
            logger.info("%s has changed: %d keys", self._path, len(self._clients))

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat: stat_result = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> dict[str, Client]:
        clients: dict[str, Client] = {}
        for name, (digest, limits) in read_lines(self._path).items():
            requests = limits.get("requests", self._requests)
            megapixels = limits.get("megapixels", self._megapixels)
            clients[digest] = Client(name, True, int(requests) if requests else None, megapixels or None)
        return clients


def read_lines(path: Path) -> dict[str, tuple[str, dict[str, float]]]:
    """Of each client the SHA-256 of its key, and the limits named. Raises KeysError."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise KeysError(f"{path} can't be read: {reason}") from None
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}, line {number}"
        if len(words) < 2 or not NAME.fullmatch(words[0]) or not DIGEST.fullmatch(words[1].lower()):
            raise KeysError(f"{where}: expected a name, the SHA-256 of its key in hexadecimal, and limits")
        if words[0] in found:
            raise KeysError(f"{where}: {words[0]} is there before")
        found[words[0]] = words[1].lower(), dict(_limit(word, where) for word in words[2:])
    return found


def _limit(word: str, where: str) -> tuple[str, float]:
    name, _, number = word.partition("=")
    kinds = {"requests": int, "megapixels": float}
    try:
        value = kinds[name](number)
    except (KeyError, ValueError):
        value = -1
    if not 0 <= value < float("inf"):
        raise KeysError(f"{where}: expected limits as requests=600 megapixels=1000; found {word[:50]!r}")
    return name, value


def add_key(path: Path, name: str, requests: int | None, megapixels: float | None) -> str:
    """Make a key, write its line into the file, which need not be there yet, and give the key.

    Raises KeysError where the name is taken or none, or the file is not sound; OSError.
    """
    if not NAME.fullmatch(name):
        raise KeysError(f"{name[:64]!r} is no name: letters, digits, dots, dashes and underscores, 64 at most")
    text = HEAD
    if path.exists():
        if name in read_lines(path):
            raise KeysError(f"{path} has a key of {name} already: take its line out first")
        text = path.read_text("utf-8").removesuffix("\n") + "\n"
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    limits = {"requests": requests, "megapixels": megapixels}
    words = [name, _digest(key), *(f"{kind}={value:g}" for kind, value in limits.items() if value is not None)]
    write_whole(path, f"{text}{' '.join(words)}\n".encode())
    return key
