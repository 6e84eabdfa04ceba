"""Origins of web pages, as operators write them and as browsers send them."""

import re
from typing import Final

from pydantic import AnyUrl, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

ANY: Final = "*"
# What browsers send for pages without an origin of their own: files, sandboxed frames.
NONE: Final = "null"

_URL: Final = TypeAdapter(AnyUrl)
_EXPECTED: Final = (
    "expected scheme://host or scheme://host:port alone, as https://site.example or https://*.site.example"
)


def browser_origin(text: str) -> str:
    """The origin as browsers write it: in lower case, without a default port or a slash behind it.

    Raises PydanticCustomError, a ValueError, for what can't be one.
    """
    if text.lower() in (ANY, NONE):
        return text.lower()
    try:
        # Parsed by the WHATWG's rules, which are the browsers'.
        url = _URL.validate_python(text)
    except ValidationError:
        raise PydanticCustomError("origin", _EXPECTED) from None
    host = (url.host or "").removeprefix("*.")
    more = (url.username, url.password, url.query, url.fragment)
    if "://" not in text or not host or "*" in host or url.path not in (None, "/") or any(p is not None for p in more):
        raise PydanticCustomError("origin", _EXPECTED)
    return str(url).removesuffix("/")


def matching(origins: tuple[str, ...]) -> str | None:
    """A regular expression for the origins that name every subdomain, or None where none does."""
    patterns = [re.escape(origin).replace(r"\*\.", r"(?:[a-z0-9_-]+\.)+") for origin in origins if "*." in origin]
    return "|".join(patterns) or None
