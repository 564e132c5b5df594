"""One request and its answer, apart from who waits for it: headers out, problems in."""

import secrets
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import httpx2
from pydantic import ValidationError

from rubato.client.calls import Call
from rubato.client.errors import ServiceFault, Unreachable, api_error
from rubato.client.retrying import retry_after_s

Result = TypeVar("Result")

TIMEOUT_S = 30.0  # of each exchange; the service's own statements end well before
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


def base_headers(api_key: str | None) -> dict[str, str]:
    """Return what every request of a client carries."""
    made = {"user-agent": f"rubato-client/{_version()}", "accept": "application/json"}
    return {**made, "x-api-key": api_key} if api_key else made


def call_headers(call: Call[Any], idempotency_key: str | None) -> dict[str, str]:
    """Return what one call carries in each of its attempts: a POST keeps its key, so that it is carried out once."""
    headers = {}
    if call.is_keyed:
        headers["idempotency-key"] = idempotency_key or secrets.token_hex(16)
    if call.if_version is not None:
        headers["if-match"] = f'"{call.if_version}"'
    return headers


def request_options(call: Call[Any], headers: Mapping[str, str], cursor: str | None) -> dict[str, Any]:
    """Return what httpx2 takes of a call."""
    query = {**call.query, "cursor": cursor} if cursor else dict(call.query)
    sent: dict[str, Any] = {"params": query, "headers": dict(headers)}
    return {**sent, "json": call.body} if call.body is not None else sent


def result(call: Call[Result], response: httpx2.Response) -> Result:
    """Return what the answer says. Raises ApiError for a problem, and for what is no answer of the service's."""
    body = _json(response)
    if response.is_success:
        try:
            return call.read(body)
        except (ValidationError, KeyError, TypeError) as error:
            detail = f"{call.operation} was answered in a shape that this client does not know; upgrade one of the two."
            raise ServiceFault(response.status_code, {"code": "unknown_shape", "detail": detail}) from error
    problem = body if isinstance(body, Mapping) and "code" in body else _foreign(response)
    raise api_error(response.status_code, problem, retry_after_s=retry_after_s(response.headers))


def unreachable(url: str, error: httpx2.TransportError) -> Unreachable:
    """Return the error of an exchange that brought no answer."""
    cause = "it took too long" if isinstance(error, httpx2.TimeoutException) else str(error) or type(error).__name__
    return Unreachable(url, cause, was_sent=not isinstance(error, _NEVER_SENT))


def _json(response: httpx2.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        return None


def _foreign(response: httpx2.Response) -> dict[str, Any]:
    """Describe an answer that is not the service's: a proxy's page, a wrong address."""
    detail = f"{response.request.url} answered {response.status_code} without a problem; is this the service's address?"
    return {"code": "not_the_service", "title": f"HTTP {response.status_code}", "detail": detail}


def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "0"
