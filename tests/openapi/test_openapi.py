"""The document: committed as the code makes it, valid, and with an example for everything that is answered."""

import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from api.reference.pages import STATIC, describe
from tests.openapi.breaking import breaks
from tests.openapi.document import COMMITTED, made, written

DOCUMENT = made()


def answers(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield an operation's answers by status, those it shares with others looked up."""
    for status, answer in operation["responses"].items():
        shared = answer.get("$ref")
        yield status, DOCUMENT["components"]["responses"][shared.rpartition("/")[2]] if shared else answer


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_the_one_in_the_code() -> None:
    assert COMMITTED.read_text() == written(DOCUMENT), "run `make openapi`"


def test_it_is_openapi_3_1_with_an_id_and_a_summary_for_every_operation() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    ids = [operation["operationId"] for _, operation in operations()]
    assert len(ids) == len(set(ids)) >= 30
    assert all(operation["summary"] for _, operation in operations())


def test_every_protected_operation_documents_its_problems() -> None:
    for name, operation in operations():
        if operation["security"]:
            assert {"400", "401", "429", "500", "503"} <= set(operation["responses"]), name
        for status, answer in answers(operation):
            if status >= "400":
                (media_type,) = answer["content"]
                assert media_type == "application/problem+json", (name, status)


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})


def test_every_answer_has_an_example_that_keeps_to_its_schema() -> None:
    seen = 0
    for name, operation in operations():
        for status, answer in answers(operation):
            for media_type, content in answer.get("content", {}).items():
                if media_type not in ("application/json", "application/problem+json"):
                    continue
                errors = [error.message for error in validator(content["schema"]).iter_errors(content["example"])]
                assert errors == [], (name, status)
                seen += 1
    assert seen > 200


def test_every_body_has_an_example() -> None:
    for name, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            examples = [each["value"] for each in content.get("examples", {}).values()]
            assert examples or "example" in content, name
            for example in examples:
                assert validator(content["schema"]).is_valid(example), name


def changed(**edits: Any) -> dict[str, Any]:
    """Return the document after one change; `path` leads there, by keys."""
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    *way, last = edits["path"]
    for step in way:
        place = place[step]
    if "value" in edits:
        place[last] = edits["value"]
    else:
        del place[last]
    return document


JOBS = ("paths", "/api/v1/jobs")
OUT = ("components", "schemas", "JobOut", "properties")
IN = ("components", "schemas", "JobIn")


@pytest.mark.parametrize(
    ("edits", "complaint"),
    [
        ({"path": ("paths", "/api/v1/quota", "get")}, "GET /api/v1/quota: gone"),
        ({"path": (*JOBS, "post", "operationId"), "value": "addJob"}, "operationId was createJob"),
        ({"path": (*JOBS, "post", "responses", "201")}, "no longer answers 201"),
        ({"path": (*JOBS, "get", "parameters"), "value": []}, "parameter status gone"),
        ({"path": (*OUT, "nextRunAt")}, "/nextRunAt: gone"),
        ({"path": (*OUT, "version"), "value": {"type": "string"}}, "/version: may be string now"),
        ({"path": (*IN, "required"), "value": ["name", "url", "description"]}, "/description: is required now"),
        ({"path": (*IN, "properties", "labels")}, "body/labels: gone"),
        ({"path": (*IN, "properties", "name"), "value": {"type": "integer"}}, "body/name: takes no string more"),
        ({"path": (*IN, "properties", "planner"), "value": {"enum": ["off", "on"]}}, "takes no shadow more"),
    ],
)
def test_a_change_that_breaks_clients_is_found(edits: Any, complaint: str) -> None:
    assert any(complaint in each for each in breaks(DOCUMENT, changed(**edits))), breaks(DOCUMENT, changed(**edits))


@pytest.mark.parametrize(
    "edits",
    [
        {"path": ("paths", "/api/v1/new"), "value": {}},
        {"path": (*OUT, "colour"), "value": {"type": "string"}},
        {"path": (*IN, "properties", "colour"), "value": {"type": "string"}},
        {"path": ("info", "version"), "value": "9"},
    ],
)
def test_an_addition_breaks_nobody(edits: Any) -> None:
    assert breaks(DOCUMENT, changed(**edits)) == []


def test_the_vendored_files_are_those_of_their_checksums() -> None:
    listed = dict(line.split()[::-1] for line in (STATIC / "SHA256SUMS").read_text().splitlines())
    found = {name: hashlib.sha256((STATIC / name).read_bytes()).hexdigest() for name in listed}
    assert found == listed
    ours = {"SHA256SUMS", "VERSION", "start.js"}
    assert {path.name for path in STATIC.iterdir()} == set(listed) | ours


def test_the_page_for_language_models_names_every_operation() -> None:
    text = describe(DOCUMENT)
    assert all(operation["operationId"] in text for _, operation in operations())


def test_every_reference_leads_somewhere() -> None:
    for reference in _refs(DOCUMENT):
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def _refs(node: Any) -> set[str]:
    if isinstance(node, dict):
        found = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(_refs(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*(_refs(value) for value in node))
    return set()
