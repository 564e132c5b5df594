"""Errors as RFC 9457 problems. The only place that knows which error is which HTTP status."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from core.errors import (
    Conflict,
    InvalidInput,
    Issue,
    KeySpentError,
    LimitReached,
    NotAllowed,
    NotFound,
    RubatoError,
    Unavailable,
    VersionMismatch,
)

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("rubato.api")

TITLES = {
    400: "The request is not valid",
    401: "Sign in first",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "The state forbids it",
    412: "It is at another version",
    413: "The body is too large",
    415: "This media type is not understood",
    422: "It cannot be carried out as it was sent",
    429: "The allowance is used up",
    500: "Something went wrong here",
    503: "Not available at the moment",
}


class Problem(Exception):
    """An HTTP problem raised by the API itself."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        issues: Sequence[Issue] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status, self.code, self.detail = status, code, detail
        self.issues, self.headers = tuple(issues), dict(headers or {})
        super().__init__(detail)


def invalid(pointer: str, code: str, detail: str) -> Problem:
    """Return a 400 for one field."""
    return Problem(400, "invalid_input", detail, issues=[Issue(pointer, code, detail)])


def status_of(error: BaseException) -> int:
    """Return the status that an error is answered with."""
    if isinstance(error, HTTPException):
        return error.status_code
    status: int | None = getattr(error, "status", None)  # of a Problem
    if status is not None:
        return status
    known = {RequestValidationError: 400, InvalidInput: 400, NotAllowed: 403, NotFound: 404, Conflict: 409}
    if isinstance(error, LimitReached):
        return 403 if error.retry_after_s is None else 429
    known |= {VersionMismatch: 412, Unavailable: 503}
    return next((status for kind, status in known.items() if isinstance(error, kind)), 500)


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RubatoError, _on_core_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def answered(request: Request, error: Exception) -> JSONResponse:
    """Return the problem that an error is answered with."""
    if isinstance(error, Problem):
        return await _on_problem(request, error)
    if isinstance(error, RequestValidationError):
        return await _on_validation_error(request, error)
    if isinstance(error, HTTPException):
        return await _on_http_exception(request, error)
    return await _on_core_error(request, error)


def answer(
    request_id: str,
    status: int,
    code: str,
    detail: str,
    *,
    issues: Sequence[Issue] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem response."""
    body: dict[str, Any] = {
        "type": f"urn:rubato:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "requestId": request_id,
    }
    if issues:
        body["errors"] = [_error(issue) for issue in issues]
    return JSONResponse(body, status, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", **(headers or {})})


def _error(issue: Issue) -> dict[str, str]:
    where = (
        {"parameter": issue.pointer.removeprefix("?")} if issue.pointer.startswith("?") else {"pointer": issue.pointer}
    )
    return {**where, "code": issue.code, "detail": issue.detail}


def _request_id(request: Request) -> str:
    return getattr(request.state, "request_id", "")


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this class only
    return answer(
        _request_id(request), error.status, error.code, error.detail, issues=error.issues, headers=error.headers
    )


async def _on_core_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, InvalidInput):
        return answer(_request_id(request), 400, "invalid_input", str(error), issues=error.issues)
    if isinstance(error, NotFound):
        return answer(_request_id(request), 404, "not_found", str(error))
    if isinstance(error, NotAllowed):
        return answer(_request_id(request), 403, error.code, str(error))
    if isinstance(error, KeySpentError):
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        return answer(_request_id(request), 429, "key_spent", str(error), headers=headers)
    if isinstance(error, Conflict):
        return answer(_request_id(request), 409, error.code, str(error))
    if isinstance(error, VersionMismatch):
        return answer(_request_id(request), 412, "precondition_failed", str(error))
    if isinstance(error, LimitReached):
        waits = error.retry_after_s
        headers = {"Retry-After": str(waits)} if waits is not None else {}
        return answer(_request_id(request), 403 if waits is None else 429, error.code, str(error), headers=headers)
    if isinstance(error, Unavailable):
        log.warning("not available", extra={"error": str(error)})
        detail = "The service cannot reach its database at the moment; nothing was changed that was not answered."
        return answer(_request_id(request), 503, "unavailable", detail, headers={"Retry-After": "2"})
    return unexpected(_request_id(request), error)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    issues = [_issue(each) for each in error.errors()]
    detail = "; ".join(issue.detail for issue in issues[:5])
    return answer(_request_id(request), 400, "invalid_input", detail, issues=issues)


def _issue(error: Mapping[str, Any]) -> Issue:
    """Translate one of pydantic's errors. Its `input` is left out: it may be a secret."""
    place, *path = error["loc"]
    kind, message = error["type"], str(error["msg"]).removeprefix("Value error, ")
    if kind == "json_invalid":
        return Issue("", "invalid_json", "The body is not valid JSON.")
    if place in ("query", "path", "header"):
        name = str(path[-1]) if path else ""
        return Issue(f"?{name}", kind, f"{name}: {message}")
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    name = str(path[-1]) if path else "body"
    if kind == "extra_forbidden":
        return Issue(pointer, "unknown_field", f"{name} is not a field here; check its spelling or leave it out.")
    if kind == "missing":
        return Issue(pointer, "required", f"{name} is required.")
    return Issue(pointer, kind, f"{name}: {message}")


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
    details = {404: "There is nothing at this address.", 405: "This address does not take that method."}
    code = codes.get(error.status_code, "http_error")
    detail = details.get(error.status_code, str(error.detail))
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return answer(_request_id(request), error.status_code, code, detail, headers=headers)


def _allowed(request: Request) -> str:
    """Return every method that this address takes; the router names the first route's only (RFC 9110, 15.5.6)."""
    methods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    scope = request.scope
    full = [m for m in methods if any(r.matches({**scope, "method": m})[0] is Match.FULL for r in request.app.routes)]
    return ", ".join(sorted(full))


def unexpected(request_id: str, error: Exception) -> JSONResponse:
    """Return the answer to a fault, and log the fault under the request's id."""
    log.error("unexpected error", exc_info=error, extra={"request_id": request_id})
    return internal_error(request_id)


def internal_error(request_id: str) -> JSONResponse:
    """Return the answer to a fault: nothing but where to look."""
    detail = "This is a fault of the service. Its operators find the cause in the logs under the requestId."
    return answer(request_id, 500, "internal_error", detail)
