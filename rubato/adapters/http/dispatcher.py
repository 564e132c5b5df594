"""The dispatcher port: exactly one request a call, on connections that are kept apart by tenant.

Nothing is ever sent twice. A kept connection on which anything has happened meanwhile is discarded before a byte is
written, and another is dialled; once a request is written, whatever happens to it is its result.
"""

import asyncio
import time
from functools import partial

from core.errors import SecretLostError
from core.ports.dispatcher import (
    DEFAULT_TIMEOUT,
    MAXIMUM_TIMEOUT,
    MINIMUM_TIMEOUT,
    HttpRequest,
    HttpResult,
)
from rubato.adapters.http.connection import BrokenAnswerError, Connection
from rubato.adapters.http.dial import DialError, Dialler, Origin, tls_context
from rubato.adapters.http.guard import AddressPolicy, BlockedAddressError, Resolver, check_url, judge, resolve
from rubato.adapters.http.message import BODY_CAP, Head, has_body, head, message, result
from rubato.adapters.http.pool import MOST_IDLE, Pool
from rubato.adapters.http.sealed import Opener, no_key, opened, redacted

REMEMBERED = 2048  # heads of requests; a job's is the same at every run
LONGEST_REMEMBERED = 4096  # bytes of one

SHORTEST_S, LONGEST_S = MINIMUM_TIMEOUT.total_seconds(), MAXIMUM_TIMEOUT.total_seconds()

_Known = tuple[str | None, str, str, bool, tuple[tuple[str, str], ...]]


class HttpDispatcher:
    """Sends requests to public addresses, and to those that `policy` opens."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        body_cap: int = BODY_CAP,
        resolver: Resolver = resolve,
        most_idle: int = MOST_IDLE,
        opener: Opener | None = None,
    ) -> None:
        """`opener`: opens jobs' secrets; without one, a request that has any fails."""
        self._policy = policy
        self._body_cap = body_cap
        self._resolver = resolver
        self._pool = Pool(most_idle)
        self._tls = tls_context()
        self._heads: dict[_Known, Head] = {}
        self._dialler: Dialler | None = None
        self._opener = opener

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it within its total deadline and report; raises nothing for what a target did."""
        if not request.sealed_headers and request.sealed_body is None:
            return await self._send(request, remember=True)
        try:
            clear, hidden = opened(request, self._opener or no_key)
        except SecretLostError as error:
            return HttpResult(status_code=None, duration_ms=0, error=str(error), error_code="secret")
        return redacted(await self._send(clear, remember=False), hidden)

    async def _send(self, request: HttpRequest, *, remember: bool) -> HttpResult:
        begun = time.monotonic()
        if not request.url:
            return HttpResult(status_code=None, duration_ms=0, error="No URL configured", error_code="no_url")
        with_body = has_body(request)
        try:
            made = self._head(request, with_body=with_body, remember=remember)
            if isinstance(made, HttpResult):
                return made
            data = message(request, made.lines, with_body=with_body)
        except (UnicodeError, ValueError) as error:
            return _failed(begun, f"The request cannot be sent: {str(error)[:300]}", "invalid_url")
        timeout_s = min(max((request.timeout or DEFAULT_TIMEOUT).total_seconds(), SHORTEST_S), LONGEST_S)
        deadline = begun + timeout_s
        connection = self._pool.take(made.origin)
        try:
            if connection is None:
                async with asyncio.timeout(deadline - time.monotonic()):
                    connection = await self._dial(made.origin)
            answer = await connection.begin(data, is_head=made.is_head, deadline=deadline)
        except TimeoutError:
            return _failed(begun, f"Request timed out after {round(timeout_s * 1000)}ms", "timeout")
        except BlockedAddressError as error:
            return _failed(begun, str(error), "blocked_address")
        except (DialError, OSError) as error:
            return _failed(begun, f"Connection failed: {error}", "connect")
        except BrokenAnswerError as error:
            return _failed(begun, f"The exchange failed: {error}", "protocol")
        finally:
            if connection is not None:
                self._pool.give_back(made.origin, connection)
        return result(
            answer,
            keep_body=request.keep_body,
            headers_ms=round((answer.headers_at - begun) * 1000),
            duration_ms=_elapsed_ms(begun),
        )

    async def close(self) -> None:
        """Close the connections that wait; those in use end with their exchange."""
        self._pool.close()

    def _head(self, request: HttpRequest, *, with_body: bool, remember: bool) -> Head | HttpResult:
        """Return a request's head, or why it cannot be sent. `remember` is false for secrets. Raises ValueError."""
        known = (request.url, request.method, request.tenant_id, with_body, tuple(request.headers.items()))
        made = self._heads.get(known)
        if made is not None:
            return made
        issues = check_url(request.url or "", self._policy)
        if issues:
            code = "blocked_address" if issues[0].code == "blocked_address" else "invalid_url"
            return HttpResult(status_code=None, duration_ms=0, error=issues[0].detail, error_code=code)
        made = head(request, with_body=with_body)
        if remember and len(made.lines) <= LONGEST_REMEMBERED:
            if len(self._heads) >= REMEMBERED:
                del self._heads[next(iter(self._heads))]
            self._heads[known] = made
        return made

    async def _dial(self, origin: Origin) -> Connection:
        if self._dialler is None:
            self._dialler = Dialler(self._tls, partial(Connection, asyncio.get_running_loop(), self._body_cap))
        addresses = await judge(origin.host, origin.port, self._policy, self._resolver)
        return await self._dialler.dial(origin, addresses)


def _failed(begun: float, error: str, code: str) -> HttpResult:
    return HttpResult(status_code=None, duration_ms=_elapsed_ms(begun), error=error, error_code=code)


def _elapsed_ms(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
