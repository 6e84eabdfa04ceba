"""Origins are compared as browsers send them, however an operator writes them."""

import re

import pytest

from app.origins import browser_origin, matching


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://site.example", "https://site.example"),
        ("https://site.example/", "https://site.example"),
        ("HTTPS://Site.Example", "https://site.example"),
        ("https://site.example:443", "https://site.example"),
        ("http://site.example:80/", "http://site.example"),
        ("https://site.example:80", "https://site.example:80"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("http://[::1]:3000/", "http://[::1]:3000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("https://*.Foo.example:443", "https://*.foo.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefgh/", "chrome-extension://abcdefgh"),
        ("NULL", "null"),
        ("*", "*"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(written: str, sent: str) -> None:
    assert browser_origin(written) == sent
    assert browser_origin(sent) == sent


@pytest.mark.parametrize(
    "written",
    [
        "site.example",
        "*.site.example",
        "//site.example",
        "https:site.example",
        "https://",
        "https://*",
        "https://site.example/gallery",
        "https://site.example?a",
        "https://site.example#a",
        "https://anna@site.example",
        "https://site.example:port",
        "https://site.example:*",
        "https://*site.example",
        "https://a.*.example",
        "https://*.*.example",
        "https://a.example https://b.example",
        "file:///",
        "undefined",
    ],
)
def test_what_can_be_no_origin_is_refused_with_what_is_expected(written: str) -> None:
    with pytest.raises(ValueError, match="scheme://host"):
        browser_origin(written)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("https://a.foo.example", True),
        ("https://a.b.foo.example", True),
        ("https://xn--mnchen-3ya.foo.example", True),
        ("https://foo.example", False),
        ("https://evilfoo.example", False),
        ("https://.foo.example", False),
        ("https://a..foo.example", False),
        ("https://evil.example/.foo.example", False),
        ("https://evil.example:1.foo.example", False),
        ("https://a@foo.example", False),
        ("https://a.fooxexample", False),
        ("https://a.foo.example.evil.example", False),
        ("https://a.foo.example:8443", False),
        ("https://a.foo.example\n", False),
        ("http://a.foo.example", False),
        ("http://a.dev.example:3000", True),
        ("http://a.dev.example", False),
    ],
)
def test_a_wildcard_matches_every_subdomain_and_nothing_else(sent: str, expected: bool) -> None:
    pattern = matching(("https://*.foo.example", "https://other.example", "http://*.dev.example:3000"))
    assert pattern is not None
    assert (re.fullmatch(pattern, sent) is not None) == expected


def test_without_a_wildcard_there_is_nothing_to_match() -> None:
    assert matching(("https://foo.example", "*", "null")) is None
