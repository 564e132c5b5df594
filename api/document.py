"""The OpenAPI document beyond what FastAPI writes by itself: credentials, problems, an example for every answer."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from api.routes.documented import PROBLEM

DEEPEST = 8  # levels of an example
_AN_INSTANT = "2026-01-31T12:00:00Z"
_BY_NAME: dict[str, Any] = {
    "id": "job_06f2k9x3v1a0123456789abcdef",
    "jobId": "job_06f2k9x3v1a0123456789abcdef",
    "name": "Queue watcher",
    "key": "queue-watcher",
    "description": "Every 30 s while queue_depth is above 500, otherwise as it is.",
    "group": "payments",
    "labels": {"team": "payments"},
    "url": "https://example.com/queue",
    "method": "GET",
    "baselineCron": None,
    "timezone": None,
    "baselineIntervalMs": 300_000,
    "minIntervalMs": 30_000,
    "maxIntervalMs": 3_600_000,
    "runAt": None,
    "endAt": None,
    "pausedUntil": None,
    "pauseReason": None,
    "pausedBy": None,
    "parkedReason": None,
    "failureCount": 0,
    "statusCode": 200,
    "errorMessage": None,
    "skipReason": None,
    "responseExcerpt": '{"queue_depth": 812}',
    "source": "baseline_interval",
    "reason": "The baseline runs every 5 min.",
    "nextCursor": None,
    "date": "2026-01-31",
}


def complete(app: FastAPI, *, protected: Sequence[str], public: Sequence[str]) -> None:
    """Extend what `app.openapi` returns. Routes below `protected` need credentials, but for those below `public`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        components = document.setdefault("components", {})
        components["securitySchemes"] = {
            "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "signIn": {"type": "apiKey", "in": "cookie", "name": "__Host-rubato_session"},
        }
        schemas = components.setdefault("schemas", {})
        schemas["Problem"] = PROBLEM
        for left_over in ("HTTPValidationError", "ValidationError"):
            schemas.pop(left_over, None)
        document["servers"] = [{"url": "/"}]
        for path, operations in document["paths"].items():
            is_open = not path.startswith(tuple(protected)) or path.startswith(tuple(public))
            for operation in operations.values():
                operation["security"] = [] if is_open else [{"apiKey": []}, {"bearer": []}, {"signIn": []}]
                _complete_answers(operation["responses"], schemas)
                _share_problems(operation["responses"], components.setdefault("responses", {}))
                for content in operation.get("requestBody", {}).get("content", {}).values():
                    if not {"example", "examples"} & set(content):
                        content["example"] = sample(content["schema"], schemas)
        app.openapi_schema = document
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _complete_answers(responses: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Drop FastAPI's own 422, which is a 400 here, and give each answer an example."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for response in responses.values():
        for media_type, content in response.get("content", {}).items():
            if media_type == "application/json" and "example" not in content and "schema" in content:
                content["example"] = sample(content["schema"], schemas)


def _share_problems(responses: dict[str, Any], shared: dict[str, Any]) -> None:
    """Write each kind of problem once, and refer to it."""
    for status, response in responses.items():
        if "application/problem+json" in response.get("content", {}):
            shared[f"Problem{status}"] = response
            responses[status] = {"$ref": f"#/components/responses/Problem{status}"}


def sample(schema: Mapping[str, Any], schemas: Mapping[str, Any], *, name: str = "", depth: int = 0) -> Any:
    """Return a value that a schema allows, such as a reader would expect under this name."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rpartition("/")[2]], schemas, name=name, depth=depth)
    if schema.get("examples"):
        return schema["examples"][0]
    choices = schema.get("anyOf", schema.get("oneOf"))
    if choices is not None:
        real = next((each for each in choices if each.get("type") != "null"), choices[0])
        is_optional = any(each.get("type") == "null" for each in choices)
        if is_optional and (depth >= DEEPEST or (name in _BY_NAME and _BY_NAME[name] is None)):
            return None
        return sample(real, schemas, name=name, depth=depth)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        known = schema.get("properties", {})
        if not known and isinstance(_BY_NAME.get(name), dict):
            return _BY_NAME[name]
        return {each: sample(its, schemas, name=each, depth=depth + 1) for each, its in known.items()}
    if kind == "array":
        return [sample(schema["items"], schemas, name=name, depth=depth + 1)] if depth < DEEPEST else []
    return _plain(kind, schema, name)


def _plain(kind: str | None, schema: Mapping[str, Any], name: str) -> Any:
    if kind == "string":
        if schema.get("format") == "date-time":
            return _AN_INSTANT
        named = _BY_NAME.get(name)
        return named if isinstance(named, str) else "example"
    if kind == "integer":
        named = _BY_NAME.get(name)
        return named if isinstance(named, int) else max(1, schema.get("minimum", 1))
    return {"number": 0.5, "boolean": False}.get(kind or "")
