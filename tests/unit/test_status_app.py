"""What a worker answers over HTTP."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from worker.status import StatusApp


async def ask(
    path: str, *, ready: bool = True, client: str | None = "127.0.0.1", public: bool = False
) -> tuple[int, str]:
    """Send one request to the application; return status and body."""
    sent: list[MutableMapping[str, Any]] = []

    async def is_ready() -> bool:
        return ready

    async def metrics() -> tuple[bytes, str]:
        return b"rubato_due_jobs 0.0\n", "text/plain"

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": path, "client": (client, 5000) if client else None}
    await StatusApp(is_ready, metrics, metrics_public=public)(scope, receive, send)
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()
    return sent[0]["status"], sent[1]["body"].decode()


async def test_alive_even_when_not_ready() -> None:
    assert (await ask("/livez", ready=False))[0] == 200


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_ready_only_while_claiming(ready: bool, status: int) -> None:
    assert (await ask("/readyz", ready=ready))[0] == status


@pytest.mark.parametrize(
    ("client", "public", "status"),
    [
        ("127.0.0.1", False, 200),
        ("::1", False, 200),
        ("192.0.2.7", False, 401),
        (None, False, 401),
        ("unix", False, 401),
        ("192.0.2.7", True, 200),
    ],
)
async def test_metrics_are_for_loopback_unless_they_are_public(client: str | None, public: bool, status: int) -> None:
    answered, body = await ask("/metrics", client=client, public=public)
    assert answered == status
    assert ("rubato_due_jobs" in body) == (status == 200)


async def test_anything_else_is_a_problem_document() -> None:
    status, body = await ask("/etc/passwd")
    assert (status, json.loads(body)["status"]) == (404, 404)
