"""Which changes to the document would break a client that was written by the old one.

Judged from the client's side: what it sends must still be taken, what it reads must still come. Additions are no break,
except where they ask more of a request; since unknown fields are refused, a field that is taken away is one. Looked at
are operations, parameters, bodies and success answers, through `$ref`, `anyOf` and arrays; not constraints on numbers
and lengths, nor descriptions.
"""

from collections.abc import Iterator
from typing import Any

DEEPEST = 6


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what breaks, a line each."""
    return [*dict.fromkeys(_operations(old, new))]


def _operations(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for path, operations in old["paths"].items():
        for method, before in operations.items():
            where = f"{method.upper()} {path}"
            after = new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{where}: gone"
                continue
            if before["operationId"] != after["operationId"]:
                yield f"{where}: operationId was {before['operationId']}"
            yield from _parameters(where, before, after)
            yield from _body(where, before, after, old, new)
            yield from _answers(where, before, after, old, new)


def _parameters(where: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    named = {(each["in"], each["name"]): each for each in before.get("parameters", [])}
    now = {(each["in"], each["name"]): each for each in after.get("parameters", [])}
    yield from (f"{where}: parameter {name} gone" for place, name in named.keys() - now.keys())
    for (place, name), parameter in now.items():
        was = named.get((place, name))
        if parameter.get("required") and not (was or {}).get("required"):
            yield f"{where}: parameter {name} is required now"


def _body(where: str, before: dict[str, Any], after: dict[str, Any], old: Any, new: Any) -> Iterator[str]:
    was, now = before.get("requestBody", {}), after.get("requestBody", {})
    if now.get("required") and not was.get("required"):
        yield f"{where}: a body is required now"
    for media_type, content in was.get("content", {}).items():
        other = now.get("content", {}).get(media_type)
        if other is None:
            yield f"{where}: {media_type} is no longer taken"
        else:
            yield from _schema(f"{where} body", content.get("schema", {}), other.get("schema", {}), old, new, sent=True)


def _answers(where: str, before: dict[str, Any], after: dict[str, Any], old: Any, new: Any) -> Iterator[str]:
    for status, answer in before["responses"].items():
        if not status.startswith("2"):
            continue
        other = after["responses"].get(status)
        if other is None:
            yield f"{where}: no longer answers {status}"
            continue
        for media_type, content in answer.get("content", {}).items():
            now = other.get("content", {}).get(media_type, {})
            yield from _schema(
                f"{where} {status}", content.get("schema", {}), now.get("schema", {}), old, new, sent=False
            )


def _schema(where: str, was: Any, now: Any, old: Any, new: Any, *, sent: bool, depth: int = 0) -> Iterator[str]:
    was, now = _resolved(was, old), _resolved(now, new)
    if depth > DEEPEST or not was:
        return
    before, after = _kinds(was, old), _kinds(now, new)
    lost = before - after if sent else after - before
    if lost and after:
        yield f"{where}: {'takes no' if sent else 'may be'} {', '.join(sorted(lost))} {'more' if sent else 'now'}"
    values, others = _enum(was, old), _enum(now, new)
    if sent and values and others and values - others:
        yield f"{where}: takes no {', '.join(sorted(map(str, values - others)))} more"
    fields, others_fields = _fields(was, old), _fields(now, new)
    for name in fields.keys() - others_fields.keys() if others_fields or not sent else ():
        yield f"{where}/{name}: gone"
    must = set(_object(now, new).get("required", ())) - set(_object(was, old).get("required", ()))
    if sent and fields:
        yield from (f"{where}/{name}: is required now" for name in sorted(must))
    for name in fields.keys() & others_fields.keys():
        yield from _schema(f"{where}/{name}", fields[name], others_fields[name], old, new, sent=sent, depth=depth + 1)
    if "items" in was and "items" in now:
        yield from _schema(f"{where}/*", was["items"], now["items"], old, new, sent=sent, depth=depth + 1)


def _resolved(schema: Any, document: Any) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return dict(schema)


def _choices(schema: Any, document: Any) -> list[dict[str, Any]]:
    schema = _resolved(schema, document)
    several = schema.get("anyOf", schema.get("oneOf"))
    return [each for choice in several for each in _choices(choice, document)] if several else [schema]


def _kinds(schema: Any, document: Any) -> set[str]:
    return {each["type"] for each in _choices(schema, document) if isinstance(each.get("type"), str)}


def _enum(schema: Any, document: Any) -> set[Any]:
    choices = _choices(schema, document)
    return {
        value for each in choices for value in (*each.get("enum", ()), *([each["const"]] if "const" in each else ()))
    }


def _object(schema: Any, document: Any) -> dict[str, Any]:
    return next((each for each in _choices(schema, document) if each.get("properties")), {})


def _fields(schema: Any, document: Any) -> dict[str, Any]:
    fields: dict[str, Any] = _object(schema, document).get("properties", {})
    return fields
