"""The dispatcher port."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

DEFAULT_TIMEOUT = timedelta(seconds=30)
MINIMUM_TIMEOUT = timedelta(seconds=1)  # a lower wish acts as this; below it most TLS handshakes already fail
MAXIMUM_TIMEOUT = timedelta(minutes=30)


_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class HttpRequest(NamedTuple):
    """One outgoing request of one run. `body_json` of None means no body; JSON null cannot be sent.

    This and its result are tuples: one of each is made at every run, at a third of what a frozen dataclass takes.
    """

    url: str | None
    method: str = "GET"
    headers: Mapping[str, str] = _NO_HEADERS
    body_json: Any = None
    timeout: timedelta | None = None
    tenant_id: str = ""  # connections are never shared between tenants
    webhook_id: str | None = None  # the same for the same slot, so that a target can drop a duplicate
    keep_body: bool = True  # False: read and count the body, keep none of it
    signing_secrets: tuple[str, ...] = ()  # `whsec_...`, newest first; with them, `sent_at` is set too
    sent_at: datetime | None = None
    sealed_headers: Mapping[str, str] = _NO_HEADERS  # ciphertext by name, opened by the dispatcher alone
    sealed_body: str | None = None


class HttpResult(NamedTuple):
    """What came of a request. Nothing is raised for a failing target: failure is a result.

    `duration_ms` spans the whole exchange, `headers_ms` up to the response headers; both by a monotonic clock.
    `error` is set when there was no usable answer (refused, timed out, blocked) and is fit to show to the user.
    `retry_after` is the raw header, `body` at most the cap (then `truncated`), decoded leniently.
    """

    status_code: int | None
    duration_ms: int
    headers_ms: int | None = None
    body: str | None = None
    body_bytes: int = 0
    truncated: bool = False
    content_type: str | None = None
    retry_after: str | None = None
    error: str | None = None
    error_code: str | None = None  # timeout connect blocked_address protocol no_url invalid_url secret signing canceled


class Dispatcher(Protocol):
    """Sends exactly one request a call; never retries, never raises for what a target did."""

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it within the request's total deadline and report."""
        ...

    async def close(self) -> None:
        """Close connections; safe to call twice."""
        ...
