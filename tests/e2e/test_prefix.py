"""Behind a prefix, through a real nginx: whether it hands the prefix on or not."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.e2e.nginx import Nginx, needs_nginx
from tests.e2e.server import Server
from tests.pictures import jpeg, photo

PHOTO, STYLE = jpeg(photo("astronaut", 48)), jpeg(photo("coffee", 48))

pytestmark = needs_nginx


@pytest.fixture(scope="module", params=["stripped", "kept"])
def prefixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service at /impasto, by which nginx either strips the prefix or keeps it."""
    with Server({"root_path": "/impasto"}) as server:
        ending = "/" if request.param == "stripped" else ""
        location = f"location /impasto/ {{ proxy_pass {server.url}{ending}; }}"
        if request.param == "kept":
            location += f" location = /impasto {{ proxy_pass {server.url}; }}"
        with Nginx(tmp_path_factory.mktemp("nginx"), location) as nginx, httpx.Client(timeout=60) as client:
            client.base_url = httpx.URL(f"{nginx.url}/impasto/")
            yield client


def test_a_photo_is_painted(prefixed: httpx.Client) -> None:
    for path in ("stylize", "stylize/"):
        answer = prefixed.post(path, files={"content": PHOTO, "style": STYLE})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/jpeg"


def test_the_documentation_and_all_it_loads_is_there(prefixed: httpx.Client) -> None:
    page = prefixed.get("docs")
    assert page.status_code == 200
    addresses = re.findall(r"(?:src|href)=\"([^\"]+)\"|url: '([^']+)'", page.text)
    assert len(addresses) >= 3
    for address in map("".join, addresses):
        found = prefixed.get(urljoin(str(page.url), address))
        assert found.status_code == 200, address
    document = prefixed.get(urljoin(str(page.url), "/impasto/openapi.json")).json()
    assert [server["url"] for server in document["servers"]] == ["/impasto"]
    links = re.findall(r"\]\((/[^)]*)\)", document["info"]["description"])
    assert links
    for link in links:
        assert link.startswith("/impasto/")
        assert prefixed.get(urljoin(str(page.url), link)).status_code == 200


def test_a_problems_type_can_be_followed(prefixed: httpx.Client) -> None:
    answer = prefixed.post("stylize", files={"content": b""})
    kind = answer.json()["type"]
    assert kind == "/impasto/problems/invalid-request"
    assert prefixed.get(urljoin(str(answer.url), kind)).json()["type"] == kind
    for listed in prefixed.get("problems").json():
        assert prefixed.get(urljoin(str(answer.url), listed["type"])).status_code == 200


def test_what_is_not_there_is_a_problem(prefixed: httpx.Client) -> None:
    for path in ("nowhere", "static-offline-docs/nowhere", "problems/nowhere"):
        answer = prefixed.get(path)
        assert answer.status_code == 404
        assert answer.json()["type"] == "/impasto/problems/not-found"


def test_the_front_door_leads_in(prefixed: httpx.Client) -> None:
    page = prefixed.get("", follow_redirects=True)
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert len(addresses) >= 3
    for address in addresses:
        assert prefixed.get(urljoin(str(page.url), address)).status_code == 200, address


def test_the_prefix_without_its_slash_leads_to_the_one_with_it() -> None:
    with Server({"root_path": "/impasto"}) as server:
        answer = server.client.get("/impasto")
        assert answer.status_code == 307
        assert answer.headers["location"] == "/impasto/"
        assert server.client.get("/impasto/healthz").status_code == 200
        assert server.client.get("/healthz").status_code == 200, "a probe does not come through the proxy"
        assert "WARNING" not in server.log()
