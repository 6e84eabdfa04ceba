"""The OpenAPI document tells what the service answers, as what is made from it relies on."""

import json

import httpx
import pytest

from tests.e2e.test_bad_input import CONTENT, STYLE, problem


@pytest.fixture
def document(client: httpx.Client) -> dict:
    return client.get("/openapi.json").json()


def operations(document: dict) -> list[tuple[str, str, dict]]:
    return [(method, path, one) for path, each in document["paths"].items() for method, one in each.items()]


def test_every_error_is_a_problem_and_told_where_it_may_come(document: dict) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
            assert "X-Request-Id" in answer["headers"]
        assert {"400", "401", "431", "500"} <= set(operation["responses"]), (method, path)
        assert "404" in operation["responses"] or "{" not in path
        assert "429" in operation["responses"] or method != "post"


def test_every_answer_with_a_body_is_told_its_kind(document: dict) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert answer.get("content") or status in ("204", "304"), (method, path, status)


def test_nothing_is_told_that_is_never_answered(document: dict) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    assert "422" not in document["paths"]["/jobs/{id}"]["get"]["responses"]


def test_links_lead_from_a_job_to_what_can_be_asked_of_it(document: dict) -> None:
    links = document["paths"]["/jobs"]["post"]["responses"]["202"]["links"]
    for link in links.values():
        target = document
        for part in link["operationRef"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/")]
        assert [parameter["name"] for parameter in target["parameters"]] == list(link["parameters"]) == ["id"]
    assert len(links) == 5


def test_a_job_holds_what_the_document_says_it_must(client: httpx.Client, document: dict) -> None:
    job = client.post("/jobs", files={"content": CONTENT, "style": STYLE}).json()
    schema = document["components"]["schemas"]["JobInfo"]
    assert set(schema["required"]) <= set(job) <= set(schema["properties"])
    assert set(document["components"]["schemas"]["ProgressInfo"]["required"]) <= set(job["progress"])


def test_what_may_be_asked_instead_names_every_method_of_a_path(client: httpx.Client, document: dict) -> None:
    for path, methods in document["paths"].items():
        answer = client.request("PATCH", path.replace("{id}", "x").replace("{name}", "x"))
        problem(answer, 405, "method-not-allowed")
        allowed = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
        assert set(answer.headers["Allow"].split(", ")) == allowed, path
