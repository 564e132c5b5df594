"""What can go wrong between a client and the service.

ClientError
├── Unreachable        no answer: refused, cut off, timed out
└── ApiError           an answer that is a problem (RFC 9457)
    ├── InvalidRequest 400, 413, 415, 422: `errors` names each field
    ├── Unauthenticated 401
    ├── Forbidden      403
    ├── NotFound       404
    ├── Conflict       409: `code` says which rule
    ├── VersionChanged 412: somebody edited it meanwhile
    ├── RateLimited    429
    └── ServiceFault   5xx
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NEXT_STEPS = {
    "idempotency_key_in_use": "The first request with this key is still being carried out; ask again in a moment.",
    "idempotency_key_reused": "Take a new Idempotency-Key for each request.",
    "job_not_active": "Look at the job's status; a paused job is started again with `rubato jobs resume`.",
    "outcome_unknown": "Look at what is there before you ask again.",
    "secret_was_shown": "End what the first request made (`rubato keys list` shows keys), and ask anew.",
    "planner_off": "Set RUBATO_PLANNER on the service, or leave planning out.",
}
_BY_STATUS = {
    400: "Correct what is named above and send it again.",
    401: "Set RUBATO_API_KEY to a valid key; one that expired or was ended is not.",
    403: "Ask an admin of the tenant for the right to do this, or use a key with the scope.",
    404: "Check the id or key; `rubato jobs list` shows what there is.",
    409: "Look at what is there; its state forbids this.",
    412: "Read it again: somebody has changed it meanwhile.",
    413: "Send less.",
    422: "Correct what is named above and send it again.",
    429: "Ask less often, or have the tenant's allowance raised.",
    503: "Wait a moment and try again.",
}


class ClientError(Exception):
    """Base of everything that the client raises. `retry_after_s`: how long the service asked to wait."""

    retry_after_s: float | None = None

    @property
    def next_step(self) -> str:
        """What to do about it, in one sentence."""
        return "Try again."


class Unreachable(ClientError):
    """No answer came. `was_sent` False: the request never left, so nothing can have happened."""

    def __init__(self, url: str, cause: str, *, was_sent: bool) -> None:
        self.url, self.was_sent = url, was_sent
        super().__init__(f"No answer from {url}: {cause}.")

    @property
    def next_step(self) -> str:
        """What to do about it."""
        if self.was_sent:
            return "Look at what is there before you ask again: the request may have been carried out."
        return "Check that the service runs there (`rubato dev` starts one), or set RUBATO_URL to where it does."


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field or parameter and what is wrong with it. `where`: a JSON pointer, or `?name` for a parameter."""

    where: str
    code: str
    detail: str


class ApiError(ClientError):
    """The service answered with a problem."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, retry_after_s: float | None = None) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.title = str(problem.get("title", f"HTTP {status}"))
        self.detail = str(problem.get("detail", "")) or self.title
        self.request_id: str | None = problem.get("requestId")
        self.errors: Sequence[FieldError] = tuple(_field_errors(problem.get("errors")))
        self.retry_after_s = retry_after_s
        super().__init__(self.detail)

    @property
    def next_step(self) -> str:
        """What to do about it."""
        if self.status >= 500 and self.status != 503 and self.code not in _NEXT_STEPS:
            return "It is a fault of the service; its operators find the cause under the request's id."
        return _NEXT_STEPS.get(self.code) or _BY_STATUS.get(self.status, "Correct the request.")


class InvalidRequest(ApiError):
    """The request itself is not valid (400, 413, 415, 422)."""


class Unauthenticated(ApiError):
    """No valid key was sent (401)."""


class Forbidden(ApiError):
    """The key may not do this (403)."""


class NotFound(ApiError):
    """There is no such thing, or it is another tenant's (404)."""


class Conflict(ApiError):
    """The state forbids it (409)."""


class VersionChanged(ApiError):
    """It is not at the version that was expected (412)."""


class RateLimited(ApiError):
    """Too many requests (429)."""


class ServiceFault(ApiError):
    """The service, or something before it, failed (5xx)."""


_KINDS: Mapping[int, type[ApiError]] = {
    400: InvalidRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: VersionChanged,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
}


def api_error(status: int, problem: Mapping[str, Any], *, retry_after_s: float | None = None) -> ApiError:
    """Return the error that a problem is."""
    kind = _KINDS.get(status, ServiceFault if status >= 500 else ApiError)
    return kind(status, problem, retry_after_s=retry_after_s)


def _field_errors(given: Any) -> list[FieldError]:
    found = []
    for each in given if isinstance(given, list) else ():
        if isinstance(each, Mapping):
            where = each.get("pointer", f"?{each['parameter']}" if "parameter" in each else "")
            found.append(FieldError(str(where), str(each.get("code", "")), str(each.get("detail", ""))))
    return found
