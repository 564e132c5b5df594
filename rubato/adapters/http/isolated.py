"""The dispatcher port for what has killed workers: each request is sent by a process of its own, which may die of it.

`python -m rubato.adapters.http.isolated` is that process. It reads the request from its standard input and writes the
result to its standard output, so that neither stands in a list of processes; it inherits no socket and no variable of
its parent's environment but those below.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from core.errors import IsolatedRunError, SecretLostError, Unavailable
from core.ports.dispatcher import DEFAULT_TIMEOUT, MAXIMUM_TIMEOUT, MINIMUM_TIMEOUT, HttpRequest, HttpResult
from rubato.adapters.child import AT_ONCE, START_S, ask, bound, python_path
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.http.sealed import Opener, no_key, opened, redacted

ADDRESS_SPACE = 512 * 1024**2  # bytes; 170 MiB are mapped for an ordinary request, most of it for libraries
OPEN_FILES = 64
CHILD = ("-P", "-m", "rubato.adapters.http.isolated")
_KEPT_VARIABLES = ("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")


class IsolatedDispatcher:
    """Sends one request in a process of its own. A target's failure is a result; the process's own raises."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        command: Sequence[str] | None = None,
        start_s: float = START_S,
        opener: Opener | None = None,
    ) -> None:
        """`opener`: opens jobs' secrets here; the process that sends is never given a key."""
        self._policy = policy
        self._opener = opener
        self._command = tuple(command or (sys.executable, *CHILD))
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._start_s = start_s

    async def send(self, request: HttpRequest) -> HttpResult:
        """Send it within its total deadline and report. Raises IsolatedRunError; cancelling it ends the process."""
        timeout = min(max(request.timeout or DEFAULT_TIMEOUT, MINIMUM_TIMEOUT), MAXIMUM_TIMEOUT)
        try:
            clear, hidden = opened(request, self._opener or no_key)
        except SecretLostError as error:
            return HttpResult(status_code=None, duration_ms=0, error=str(error), error_code="secret")
        async with self._turns:
            return redacted(await self._send(clear, timeout.total_seconds() + self._start_s), hidden)

    async def _send(self, request: HttpRequest, limit_s: float) -> HttpResult:
        asked = {**_written(request), "allow": self._policy.allow, "limit_s": limit_s}
        try:
            answer = await ask(self._command, orjson.dumps(asked), limit_s=limit_s, env=_environment())
        except Unavailable as error:  # this machine's trouble, not the request's
            detail = f"A process for the request could not be started: {error}"
            return HttpResult(status_code=None, duration_ms=0, error=detail, error_code="protocol")
        try:
            return HttpResult(**orjson.loads(answer))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise IsolatedRunError("its process ended without a result") from error

    async def close(self) -> None:
        """Close nothing: a process ends with its request."""


def main() -> None:
    """Be the process: read a request, send it, write the result."""
    asked = orjson.loads(sys.stdin.buffer.read())
    limit_s = asked.pop("limit_s")
    bound(limit_s, address_space=ADDRESS_SPACE, open_files=OPEN_FILES)
    policy = AddressPolicy(asked.pop("allow"))
    result = asyncio.run(_send(_read(asked), policy))
    sys.stdout.buffer.write(orjson.dumps(result._asdict()))
    sys.stdout.buffer.flush()
    os._exit(0)  # a name's look-up that still hangs must not keep what is done


async def _send(request: HttpRequest, policy: AddressPolicy) -> HttpResult:
    dispatcher = HttpDispatcher(policy)
    try:
        return await dispatcher.send(request)
    finally:
        await dispatcher.close()


def _written(request: HttpRequest) -> dict[str, Any]:
    """Return a request as JSON can carry it."""
    return {
        "url": request.url,
        "method": request.method,
        "headers": dict(request.headers),
        "body_json": request.body_json,
        "timeout": request.timeout.total_seconds() if request.timeout is not None else None,
        "tenant_id": request.tenant_id,
        "webhook_id": request.webhook_id,
        "keep_body": request.keep_body,
        "signing_secrets": request.signing_secrets,
        "sent_at": request.sent_at,
    }


def _read(asked: dict[str, Any]) -> HttpRequest:
    timeout, sent_at = asked.pop("timeout"), asked.pop("sent_at")
    return HttpRequest(
        **{**asked, "signing_secrets": tuple(asked["signing_secrets"])},
        timeout=timedelta(seconds=timeout) if timeout is not None else None,
        sent_at=datetime.fromisoformat(sent_at) if sent_at is not None else None,
    )


def _environment() -> dict[str, str]:
    """Return what the process may know: where our packages are, and how this machine is set up."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": python_path()}


if __name__ == "__main__":
    main()
