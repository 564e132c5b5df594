"""The client and the service's OpenAPI document agree, and its two faces are one."""

import inspect
import re
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import BaseModel

from api.app import create_app
from rubato.client import AsyncClient, Client, HintSpec, JobSpec, KeySpec, calls, models, twin
from rubato.client.calls import Call

AT = datetime(2027, 1, 1, tzinfo=UTC)
SAMPLES: dict[str, Any] = {
    "job": JobSpec(name="x"),
    "hint": HintSpec(kind="pause"),
    "key": KeySpec(),
    "changes": {"name": "y"},
    "labels": {"team": "shop"},
    "since": AT,
    "until": AT,
    "hours": 1,
    "limit": 1,
    "if_version": 1,
    "validate_only": True,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return the document that the service serves."""
    services = type("Nothing", (), {"local_owner": None, "cors_origins": (), "observe": None})
    return create_app(cast("Any", services)).openapi()


def every_call() -> Iterator[Call[Any]]:
    """Build each call, with and without a job where both are offered."""
    for _, build in inspect.getmembers(calls, inspect.isfunction):
        if build.__module__ != calls.__name__ or build.__name__.startswith("_"):
            continue
        parameters = inspect.signature(build).parameters
        given = {
            name: f"{name}_1" if each.annotation in (str, "str") else SAMPLES.get(name, f"{name}_1")
            for name, each in parameters.items()
        }
        yield build(**given)
        if "job_id" in parameters and "None" in str(parameters["job_id"].annotation):
            yield build(**{**given, "job_id": None})


def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and entry by operation id."""
    return {
        entry["operationId"]: (method.upper(), path, entry)
        for path, entries in document["paths"].items()
        for method, entry in entries.items()
    }


def test_every_call_is_an_operation_of_the_document(document: dict[str, Any]) -> None:
    offered, seen = operations(document), []
    for call in every_call():
        method, path, entry = offered[call.operation]
        assert (call.method, bool(re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), call.path))) == (method, True), call
        taken = {each["name"] for each in entry.get("parameters", ()) if each["in"] == "query"}
        assert set(call.query) <= taken, call
        assert (call.body is not None) <= ("requestBody" in entry), call
        seen.append(call.operation)
    assert len(seen) > 25


def test_every_call_has_a_method_of_its_name_on_both_clients() -> None:
    names = {
        name
        for name, build in inspect.getmembers(calls, inspect.isfunction)
        if build.__module__ == calls.__name__ and not name.startswith("_")
    }
    for client in (Client, AsyncClient):
        assert names <= set(dir(client))


def test_the_synchronous_client_is_the_asynchronous_one_rendered() -> None:
    assert twin.RENDERED.read_text() == twin.render()


SCHEMAS: dict[str, type[BaseModel]] = {
    "JobIn": JobSpec,
    "HintIn": HintSpec,
    "JobOut": models.Job,
    "RunOut": models.Run,
    "HintOut": models.Hint,
    "ExplanationOut": models.Explanation,
    "DecisionOut": models.Decision,
    "ForecastOut": models.Forecast,
    "SimulationOut": models.Simulation,
    "SessionOut": models.Session,
    "QuotaOut": models.Quota,
    "WindowOut": models.QuotaWindow,
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_of_the_document_is_typed(document: dict[str, Any], name: str) -> None:
    model = SCHEMAS[name]
    schema = _schema(document, name, model)
    ours = {field.alias: field for field in model.model_fields.values()}
    assert set(schema["properties"]) - set(ours) == set(), f"{model.__name__} lacks fields"
    required = {alias for alias, field in ours.items() if field.is_required()}
    assert required <= set(schema["properties"]), f"{model.__name__} asks for what nobody sends"
    for alias, of in schema["properties"].items():
        assert _kinds(of) <= _allowed(ours[alias].annotation), (name, alias)


def _schema(document: dict[str, Any], name: str, model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of that name that is like the model; a name that stands twice is qualified by its module."""
    named = [
        each for key, each in document["components"]["schemas"].items() if key == name or key.endswith(f"__{name}")
    ]
    aliases = {field.alias for field in model.model_fields.values()}
    return max(named, key=lambda schema: len(aliases & set(schema["properties"])))


def _kinds(schema: dict[str, Any]) -> set[str]:
    """Return the JSON types that a property may have."""
    return {each["type"] for each in (schema, *schema.get("anyOf", ())) if "type" in each}


def _allowed(annotation: Any) -> set[str]:
    """Return the JSON types that a Python annotation takes."""
    if annotation is Any:
        return {"null", "string", "integer", "number", "boolean", "object", "array"}
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _allowed(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return {"string"}
    if origin in (list, dict):
        return {"array"} if origin is list else {"object"}
    if origin is not None:
        return set().union(*(_allowed(each) for each in typing.get_args(annotation)))
    simple = {str: "string", datetime: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    return {simple.get(annotation, "object")}
