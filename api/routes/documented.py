"""What the routes' OpenAPI entries share: problem answers and examples."""

from typing import Any

from api.problems import TITLES
from api.wire import Wire

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "An error (RFC 9457). `code` is stable, for programs; `errors` names each field or parameter.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "requestId": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string"},
                    "parameter": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_WORDS = {
    400: "The request is not valid; `errors` names each field and what would be accepted.",
    401: "No valid API key was sent, and nobody is signed in.",
    403: "Whoever asks is known, and may not, or the tenant's allowance does not cover it; `code` says why.",
    404: "There is no such thing, or it is another tenant's.",
    409: "The state forbids it; `code` says which rule.",
    412: "The job is at another version than `If-Match` names.",
    413: "The body is too large.",
    415: "The body's media type is not understood.",
    422: "The `Idempotency-Key` was used for another request.",
    429: "The allowance of requests is used up; `Retry-After` says when there is more.",
    500: "A fault of the service; its logs have the cause under `requestId`.",
    503: "The database cannot be reached at the moment.",
}

_CODES = {
    400: "invalid_input",
    401: "unauthenticated",
    403: "jobs_limit_reached",
    404: "not_found",
    409: "job_not_active",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "idempotency_key_reused",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}

EXAMPLE_JOB = {
    "name": "Queue watcher",
    "description": "Every 30 s while queue_depth is above 500, otherwise as it is.",
    "url": "https://example.com/queue",
    "baselineIntervalMs": 300000,
    "minIntervalMs": 30000,
    "maxIntervalMs": 3600000,
}
EXAMPLE_HINT = {"kind": "interval", "intervalMs": 30000, "ttlMs": 600000, "reason": "a release is going out"}


CHANGING = (409, 422)  # what an Idempotency-Key adds to a POST


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` entries of a route for these statuses; those that every route may answer are added."""
    return {status: problem(status) for status in sorted({400, 401, 429, 500, 503, *statuses})}


def problem(status: int) -> dict[str, Any]:
    """Return one `responses` entry."""
    code = _CODES[status]
    example = {
        "type": f"urn:rubato:problem:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": _WORDS[status],
        "code": code,
        "requestId": "req_0123456789abcdef",
    }
    if status == 400:
        where = {"pointer": "/baselineIntervalMs", "code": "greater_than_equal"}
        example["errors"] = [{**where, "detail": "baselineIntervalMs: Input should be greater than or equal to 1"}]
    schema = {"$ref": "#/components/schemas/Problem"}
    waits = {"headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}}
    return {
        **(waits if status in (429, 503) else {}),
        "description": _WORDS[status],
        "content": {"application/problem+json": {"schema": schema, "example": example}},
    }


def previewed(model: type[Wire]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` entry of a rehearsal, for routes that otherwise do not answer 200."""
    return {200: {"model": model, "description": "With `validateOnly=true`: what would be. Nothing was changed."}}
