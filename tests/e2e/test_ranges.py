"""Parts of files, asked for as players do, and as nobody should."""

import re

import httpx
import pytest

from tests.e2e.test_bad_input import problem


@pytest.fixture(params=["style", "page", "docs"])
def address(request: pytest.FixtureRequest, client: httpx.Client) -> str:
    """A file of each kind that the service has."""
    if request.param == "style":
        return f"/styles/{client.get('/styles').json()['styles'][0]['id']}/picture"
    if request.param == "page":
        return re.findall(r'href="(web/[^"]+\.css)"', client.get("/").text)[0]
    return "/static-offline-docs/swagger-ui.css"


def test_a_part_is_given(client: httpx.Client, address: str) -> None:
    whole = client.get(address).content
    for range, part in (
        ("bytes=2-5", whole[2:6]),
        ("bytes=-7", whole[-7:]),
        (f"Bytes = {len(whole) - 3}-", whole[-3:]),
    ):
        answer = client.get(address, headers={"Range": range})
        assert (answer.status_code, answer.content) == (206, part), range


@pytest.mark.parametrize("range", ["bytes=99999999-", "bytes=-0", "bytes=0-0,99999999-"])
def test_a_part_that_is_not_there_is_a_problem(client: httpx.Client, address: str, range: str) -> None:
    size = len(client.get(address).content)
    answer = client.get(address, headers={"Range": range})
    body = problem(answer, 416, "range-not-satisfiable")
    assert (body["field"], body["limit"]) == ("Range", size)
    assert answer.headers["Content-Range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "range",
    ["bytes=zz", "bytes=5-1", "items=0-1", "bytes=", "bytes=,", "=", "bytes=1-2-3", "bytes=٣-", f"bytes={'9' * 5000}-"],
    ids=lambda text: text[:12],
)
def test_a_part_that_makes_no_sense_is_the_whole(client: httpx.Client, address: str, range: str) -> None:
    answer = client.get(address, headers={"Range": range.encode()})
    assert (answer.status_code, answer.content) == (200, client.get(address).content)
