"""The dispatcher port on httpx2: one request a call, one connection a request.

No keep-alive for now: connections would have to be kept apart by tenant, and httpx2's pool rescans all of its
connections at every request (measured: 76 requests a second with 100 of them). The TLS context is shared.
"""

import asyncio
import re
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version

import httpcore2
import httpx2
import orjson

from core.errors import Issue
from core.ports.dispatcher import (
    DEFAULT_TIMEOUT,
    MAXIMUM_TIMEOUT,
    MINIMUM_TIMEOUT,
    HttpRequest,
    HttpResult,
)
from rubato.adapters.http.guard import AddressPolicy, BlockedAddressError, GuardedBackend, Resolver, check_url, resolve

BODY_CAP = 256 * 1024  # bytes of a response that are read; the rest is never fetched

_BODILESS = frozenset({"GET", "HEAD"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"})
_OUR_PREFIXES = ("proxy-", "webhook-")
_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)


def check_headers(headers: Mapping[str, str]) -> list[Issue]:
    """Return what is wrong with a job's request headers. Empty: nothing."""
    issues = []
    for name, value in headers.items():
        pointer = "/headersJson/" + name.replace("~", "~0").replace("/", "~1")
        if not _TOKEN.fullmatch(name):
            issues.append(Issue(pointer, "invalid_header", f"{name[:60]!r} is no header name."))
        elif _is_ours(name):
            issues.append(Issue(pointer, "denied_header", f"The header {name[:60]} is set by Rubato; leave it out."))
        elif not value.isascii() or any((char < " " and char != "\t") or char == "\x7f" for char in value):
            detail = f"The header {name[:60]} may hold printable ASCII only."
            issues.append(Issue(pointer, "invalid_header", detail))
    return issues


class HttpDispatcher:
    """Sends requests to public addresses, and to those that `policy` opens."""

    def __init__(self, policy: AddressPolicy, *, body_cap: int = BODY_CAP, resolver: Resolver = resolve) -> None:
        self._policy = policy
        self._body_cap = body_cap
        self._resolver = resolver
        self._tls = httpx2.create_ssl_context(trust_env=False)

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it within its total deadline and report; raises nothing for what a target did."""
        if not request.url:
            return HttpResult(status_code=None, duration_ms=0, error="No URL configured", error_code="no_url")
        issues = check_url(request.url, self._policy)
        if issues:
            code = "blocked_address" if issues[0].code == "blocked_address" else "invalid_url"
            return HttpResult(status_code=None, duration_ms=0, error=issues[0].detail, error_code=code)
        timeout = min(max(request.timeout or DEFAULT_TIMEOUT, MINIMUM_TIMEOUT), MAXIMUM_TIMEOUT)
        begun = time.monotonic()
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._exchange(request, timeout, begun)
        except TimeoutError:
            limit = timeout // timedelta(milliseconds=1)
            return _failed(begun, f"Request timed out after {limit}ms", "timeout")
        except BlockedAddressError as error:
            return _failed(begun, str(error), "blocked_address")
        except httpx2.ConnectError as error:
            return _failed(begun, _words("Connection failed", error), "connect")
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, UnicodeError, ValueError) as error:
            return _failed(begun, _words("The URL cannot be used", error), "invalid_url")
        except (httpx2.HTTPError, OSError) as error:
            return _failed(begun, _words("The exchange failed", error), "protocol")

    async def close(self) -> None:
        """Close nothing: every connection ends with its request."""

    async def _exchange(self, request: HttpRequest, limit: timedelta, begun: float) -> HttpResult:
        transport = _GuardedTransport(self._policy, self._tls, self._resolver)
        async with httpx2.AsyncClient(
            transport=transport, trust_env=False, follow_redirects=False, timeout=httpx2.Timeout(limit.total_seconds())
        ) as client:
            built = client.build_request(
                request.method, request.url or "", headers=_headers(request), content=_content(request)
            )
            response = await client.send(built, stream=True)
            headers_ms = _elapsed_ms(begun)
            try:
                body = await _read(response.aiter_raw(), self._body_cap)
            finally:
                await response.aclose()
        return _result(request, response, body, headers_ms, _elapsed_ms(begun))


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a pool whose sockets are opened by the guard."""

    def __init__(self, policy: AddressPolicy, tls: ssl.SSLContext, resolver: Resolver) -> None:
        super().__init__(verify=tls, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            network_backend=GuardedBackend(policy, httpcore2.AnyIOBackend(), resolver),
            max_connections=1,
            max_keepalive_connections=0,
            http1=True,
            http2=False,
        )


@dataclass(frozen=True, slots=True)
class _Body:
    content: bytes
    truncated: bool


async def _read(chunks: AsyncIterator[bytes], cap: int) -> _Body:
    """Read up to `cap` bytes; the connection is then closed with the rest unread."""
    kept = bytearray()
    async for chunk in chunks:
        kept += chunk
        if len(kept) > cap:
            return _Body(bytes(kept[:cap]), truncated=True)
    return _Body(bytes(kept), truncated=False)


def _result(
    request: HttpRequest, response: httpx2.Response, body: _Body, headers_ms: int, duration_ms: int
) -> HttpResult:
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    decoded = _decoded(body, encoding)
    result = HttpResult(
        status_code=response.status_code,
        duration_ms=duration_ms,
        headers_ms=headers_ms,
        body=None,
        body_bytes=len(body.content),
        truncated=decoded.truncated,
        content_type=response.headers.get("content-type"),
        retry_after=response.headers.get("retry-after"),
    )
    if not request.keep_body:
        return result
    return replace(result, body=_text(decoded.content, result.content_type))


def _decoded(body: _Body, encoding: str) -> _Body:
    """Undo a compression that nobody asked for, never to more than was read; what cannot be undone stays as it is."""
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        content = inflater.decompress(body.content, BODY_CAP)
    except zlib.error:
        return body
    return _Body(content, truncated=body.truncated or bool(inflater.unconsumed_tail))


def _text(content: bytes, content_type: str | None) -> str:
    named = _CHARSET.search(content_type or "")
    try:
        text = content.decode(named.group(1) if named else "utf-8", errors="replace")
    except LookupError:
        text = content.decode("utf-8", errors="replace")
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _headers(request: HttpRequest) -> dict[str, str]:
    headers = {name: value for name, value in request.headers.items() if not _is_ours(name)}
    given = {name.lower() for name in headers}
    if _has_body(request) and "content-type" not in given:
        headers["Content-Type"] = "application/json"
    if "user-agent" not in given:
        headers["User-Agent"] = f"Rubato/{_version()}"
    if "accept" not in given:
        headers["Accept"] = "*/*"
    headers = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
    headers["Accept-Encoding"] = "identity"
    headers["Connection"] = "close"
    if request.webhook_id is not None:
        headers["webhook-id"] = request.webhook_id
    return headers


def _content(request: HttpRequest) -> bytes | None:
    return orjson.dumps(request.body_json) if _has_body(request) else None


def _has_body(request: HttpRequest) -> bool:
    return request.body_json is not None and request.method.upper() not in _BODILESS


def _is_ours(name: str) -> bool:
    return name.lower() in _OURS or name.lower().startswith(_OUR_PREFIXES)


def _failed(begun: float, error: str, code: str) -> HttpResult:
    return HttpResult(status_code=None, duration_ms=_elapsed_ms(begun), error=error, error_code=code)


def _words(what: str, error: Exception) -> str:
    detail = str(error).strip()
    return f"{what}: {detail[:300]}" if detail else f"{what}: {type(error).__name__}"


def _elapsed_ms(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


def _version() -> str:
    try:
        return version("rubato-scheduler")
    except PackageNotFoundError:
        return "dev"
