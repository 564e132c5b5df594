"""What the routes' OpenAPI entries share: problem answers and examples."""

from typing import Any

_PROBLEM: dict[str, Any] = {
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
    403: "Whoever asks is known, and may not; `code` says why.",
    404: "There is no such thing, or it is another tenant's.",
    409: "The state forbids it; `code` says which rule.",
    413: "The body is too large.",
    415: "The body's media type is not understood.",
    503: "The database cannot be reached at the moment.",
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


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` entries of a route for these statuses, 400, 401 and 503 always among them."""
    wanted = sorted({400, 401, 503, *statuses})
    return {
        status: {
            "description": _WORDS[status],
            "content": {
                "application/problem+json": {
                    "schema": _PROBLEM,
                    "example": {
                        "type": "urn:rubato:problem:example",
                        "title": "An example",
                        "status": status,
                        "detail": _WORDS[status],
                        "code": "example",
                        "requestId": "req_0123456789abcdef",
                    },
                }
            },
        }
        for status in wanted
    }
