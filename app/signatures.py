"""Signatures of what the service tells others, as Standard Webhooks has them (standardwebhooks.com)."""

import base64
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
SHORTEST_KEY: Final = 24
LONGEST_KEY: Final = 64


def signing_key(secret: str) -> bytes:
    """The key in a secret of the form whsec_ and base64 of 24 to 64 bytes. Raises ValueError, without the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        text = f"expected {PREFIX} and base64 of {SHORTEST_KEY} to {LONGEST_KEY} random bytes"
        raise ValueError(text)
    return key


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """What the header webhook-signature says of a message; `timestamp` in seconds since 1970."""
    signed = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
