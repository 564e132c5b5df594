"""Outgoing signatures: verified by the documented snippets, over two secrets in rotation, and never left out."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from core.errors import NotFound, Unavailable
from core.ports.dispatcher import HttpRequest
from core.ports.signing import SigningSecrets
from rubato.adapters.clock import SystemClock
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.http.isolated import IsolatedDispatcher
from rubato.adapters.http.signing import SigningDispatcher
from rubato.adapters.ids import SystemIds
from rubato.adapters.postgres.signing import PostgresSigningSecrets
from tests.integration.apis import face
from tests.processes import ROOT, Target, target

SNIPPETS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/signatures.md").read_text(), re.MULTILINE | re.DOTALL)
DAY = timedelta(days=1)


def documented() -> list[Callable[[str, Mapping[str, str], bytes], bool]]:
    """Return the functions of the document's snippets, as they stand there."""
    found = []
    for snippet in SNIPPETS:
        names: dict[str, Any] = {}
        exec(snippet, names)
        found += [value for name, value in names.items() if name.startswith("is_")]
    return found


VERIFIERS = documented()


def reversed_text(value: str) -> str:
    """Stand for a cipher: what is stored is not what was made."""
    return value[::-1]


@pytest.fixture
async def secrets(engine: AsyncEngine) -> PostgresSigningSecrets:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO tenants (id, name) VALUES ('t', 't'), ('other', 'o')"))
    return PostgresSigningSecrets(engine, SystemIds(), SystemClock(), seal=reversed_text, opener=reversed_text)


def request(url: str, **fields: Any) -> HttpRequest:
    return HttpRequest(url, tenant_id="t", webhook_id="msg_1", timeout=timedelta(seconds=5), **fields)


async def sent(
    secrets: SigningSecrets, to: Target, *, inner: Any = None, **fields: Any
) -> tuple[dict[str, str], bytes]:
    """Send one request; return its headers and body as the target saw them."""
    dispatcher = SigningDispatcher(inner or HttpDispatcher(AddressPolicy(["loopback"])), secrets, SystemClock())
    result = await dispatcher.send(request(to.url, **fields))
    await dispatcher.close()
    assert result.status_code == 200, result.error
    _, _, headers, body = to.seen[-1]
    return {name.lower(): value for name, value in headers.items()}, body


def verdicts(secret: str, headers: Mapping[str, str], body: bytes) -> list[bool]:
    return [verify(secret, headers, body) for verify in VERIFIERS]


def test_the_document_shows_two_ways_to_verify() -> None:
    assert len(VERIFIERS) == 2


@pytest.mark.parametrize(
    "fields",
    [{}, {"method": "POST", "body_json": {"text": "grüße", "n": [1, None]}}, {"method": "POST"}, {"method": "HEAD"}],
)
async def test_the_documented_snippets_verify_what_is_sent(
    secrets: PostgresSigningSecrets, fields: dict[str, Any]
) -> None:
    _, value = await secrets.rotate("t", overlap=DAY)
    with target() as to:
        headers, body = await sent(secrets, to, **fields)
    assert verdicts(value, headers, body) == [True, True]
    assert abs(int(headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    for name in ("webhook-id", "webhook-timestamp"):
        assert (
            verdicts(value, {**headers, name: headers[name][:-1] + "7" if headers[name][-1] != "7" else "1"}, body)
            == [False] * 2
        )
    assert verdicts(value, headers, body + b" ") == [False, False]


async def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_only(
    secrets: PostgresSigningSecrets, engine: AsyncEngine
) -> None:
    old = await secrets.rotate("t", overlap=DAY)
    new = await secrets.rotate("t", overlap=DAY)
    with target() as to:
        headers, body = await sent(secrets, to)
        assert len(headers["webhook-signature"].split(" ")) == 2
        assert [verdicts(value, headers, body) for _, value in (old, new)] == [[True, True]] * 2
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE signing_secrets SET expires_at = now() WHERE expires_at IS NOT NULL"))
        secrets._known.clear()
        headers, body = await sent(secrets, to)
    assert [verdicts(value, headers, body) for _, value in (old, new)] == [[False, False], [True, True]]


async def test_two_secrets_are_in_force_at_the_most(secrets: PostgresSigningSecrets) -> None:
    made = [await secrets.rotate("t", overlap=DAY) for _ in range(3)]
    listed = await secrets.listed("t")
    assert [each.id for each in listed] == [made[2][0].id, made[1][0].id]
    assert [each.expires_at is None for each in listed] == [True, False]
    await secrets.rotate("t", overlap=timedelta(0))
    assert len(await secrets.listed("t")) == 1


async def test_a_tenant_without_a_secret_sends_unsigned_and_its_id_all_the_same(
    secrets: PostgresSigningSecrets,
) -> None:
    await secrets.rotate("other", overlap=DAY)
    with target() as to:
        headers, _ = await sent(secrets, to)
    assert headers["webhook-id"] == "msg_1"
    assert "webhook-signature" not in headers


async def test_a_process_of_its_own_signs_too(secrets: PostgresSigningSecrets) -> None:
    _, value = await secrets.rotate("t", overlap=DAY)
    with target() as to:
        inner = IsolatedDispatcher(AddressPolicy(["loopback"]))
        headers, body = await sent(secrets, to, inner=inner, method="POST", body_json={"a": 1})
    assert verdicts(value, headers, body) == [True, True]


async def test_what_cannot_be_signed_is_not_sent(secrets: PostgresSigningSecrets, engine: AsyncEngine) -> None:
    await secrets.rotate("t", overlap=DAY)

    def away(sealed: str) -> str:
        raise Unavailable("its key is gone")

    closed = PostgresSigningSecrets(engine, SystemIds(), SystemClock(), seal=reversed_text, opener=away)
    dispatcher = SigningDispatcher(HttpDispatcher(AddressPolicy(["loopback"])), closed, SystemClock())
    with target() as to:
        result = await dispatcher.send(request(to.url))
        assert (result.status_code, result.error_code, to.seen) == (None, "signing", [])
    await dispatcher.close()


async def test_a_secret_is_sealed_at_rest_and_ends_when_it_is_told_to(
    secrets: PostgresSigningSecrets, engine: AsyncEngine
) -> None:
    made, value = await secrets.rotate("t", overlap=DAY)
    async with engine.connect() as connection:
        stored = (await connection.execute(text("SELECT sealed FROM signing_secrets"))).scalar_one()
    assert stored == reversed_text(value)
    with pytest.raises(NotFound):
        await secrets.end("other", made.id)
    await secrets.end("t", made.id)
    assert (await secrets.listed("t"), await secrets.values("t")) == ([], ())


async def test_secrets_are_managed_by_api_and_shown_once() -> None:
    async with face() as api:
        rehearsed = await api.call("POST", "/api/v1/signing-secrets?validateOnly=true")
        assert (rehearsed.status_code, rehearsed.json()["data"]) == (200, [])
        made = await api.call("POST", "/api/v1/signing-secrets", {"overlapMs": 0})
        assert made.status_code == 201
        assert made.json()["secret"].startswith("whsec_")
        assert made.headers["cache-control"] == "no-store"
        listed = await api.call("GET", "/api/v1/signing-secrets")
        assert [each["id"] for each in listed.json()["data"]] == [made.json()["id"]]
        assert "whsec_" not in listed.text
        assert (await api.call("POST", "/api/v1/signing-secrets", {"overlapMs": -1})).status_code == 400
        path = f"/api/v1/signing-secrets/{made.json()['id']}"
        assert [(await api.call("DELETE", path)).status_code for _ in range(2)] == [204, 404]
