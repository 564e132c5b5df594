"""API keys over HTTP and PostgreSQL: what they may do, for how long, and what is never shown of them."""

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from core.identity import base62, compose_key, lookup_of, start_of
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.keys import new_key
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str) -> Iterator[Served]:
    for url in fresh(postgres_url, template):
        with served(url) as house:
            yield house


def call(api: Served, method: str, path: str, body: Any = None, *, key: str | None = KEY, **options: Any) -> Any:
    headers = {**({"x-api-key": key} if key else {}), **options.pop("headers", {})}
    options |= {"json": body} if body is not None else {}
    return api.client.request(method, f"{api.url}{path}", headers=headers, **options)


def made(api: Served, key: str = KEY, **wishes: Any) -> dict[str, Any]:
    answer = call(api, "POST", "/api/auth/api-key/create", wishes, key=key)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def jobs_status(api: Served, key: str, method: str = "GET") -> int:
    body = {"name": "j", "url": "https://example.com", "baselineIntervalMs": 60000} if method == "POST" else None
    status: int = call(api, method, "/api/v1/jobs", body, key=key).status_code
    return status


def test_a_key_is_prefix_lookup_256_bits_and_a_checksum() -> None:
    key = new_key("cron_")
    assert key.startswith("cron_")
    assert lookup_of(key) == key[5:17]
    assert start_of(key) == key[:17]
    assert key[-6:] == base62(zlib.crc32(key[:-6].encode()), 6)
    assert len({new_key("cron_") for _ in range(1000)}) == 1000
    assert compose_key("cron_", "a" * 12, 2**256 - 1)[17:-6] != compose_key("cron_", "a" * 12, 2**256 - 2)[17:-6]


def test_a_damaged_key_of_our_make_and_a_foreign_one_have_no_lookup() -> None:
    key = new_key("cron_")
    swapped = key[:20] + ("x" if key[20] != "x" else "y") + key[21:]
    for other in (swapped, key[:-1], key + "0", "cron_my_own_key", "", "cron_" + "é" * 61):
        assert lookup_of(other) is None
    assert start_of("cron_my_own_key") == "cron_"
    assert start_of("nothing") == ""


def test_the_value_is_shown_once_and_kept_nowhere(api: Served) -> None:
    key = made(api, name="ci", metadata={"team": "a"})
    assert key["key"].startswith(key["start"])
    assert key["scopes"] == ["jobs:read", "jobs:write"]
    shown = call(api, "GET", f"/api/auth/api-key/get?id={key['id']}").json()
    listed = call(api, "GET", "/api/auth/api-key/list").json()
    assert shown == next(each for each in listed if each["id"] == key["id"])
    assert "key" not in shown
    assert shown["metadata"] == {"team": "a"}

    async def everything() -> str:
        async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
            rows = await connection.execute(text("SELECT row_to_json(k)::text FROM api_keys k"))
            return "".join(row[0] for row in rows)

    assert key["key"][17:-6] not in api.wait(everything())


@pytest.mark.parametrize(
    ("scopes", "reads", "writes", "keys"),
    [
        (["jobs:read"], 200, 403, 403),
        (["jobs:write"], 403, 201, 403),
        (["keys:write"], 403, 403, 200),
        (["jobs:read", "jobs:write", "keys:write"], 200, 201, 200),
        (["metrics:read"], 403, 403, 403),
    ],
)
def test_a_key_may_do_what_its_scopes_say(api: Served, scopes: list[str], reads: int, writes: int, keys: int) -> None:
    key = made(api, scopes=scopes)["key"]
    assert jobs_status(api, key) == reads
    assert jobs_status(api, key, "POST") == writes
    assert call(api, "GET", "/api/auth/api-key/list", key=key).status_code == keys
    assert call(api, "GET", "/api/v1/members", key=key).status_code == 403


def test_a_key_cannot_make_one_that_may_more_than_itself(api: Served) -> None:
    key = made(api, scopes=["keys:write", "jobs:read"])["key"]
    answer = call(api, "POST", "/api/auth/api-key/create", {"scopes": ["jobs:read", "admin"]}, key=key)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/scopes"
    assert "admin" in answer.json()["detail"]
    stronger = made(api, scopes=["jobs:write"])["id"]
    assert call(api, "POST", "/api/auth/api-key/rotate", {"keyId": stronger}, key=key).status_code == 400


def test_a_key_expires_and_an_update_counts_from_now(api: Served) -> None:
    key = made(api, expiresIn=1)
    assert key["expiresAt"] is not None
    later = {"keyId": key["id"], "expiresInMs": 1}
    assert call(api, "POST", "/api/auth/api-key/update", later).status_code == 200
    assert jobs_status(api, key["key"]) == 401
    assert (
        call(api, "POST", "/api/auth/api-key/update", {"keyId": key["id"], "expiresIn": None}).json()["expiresAt"]
        is None
    )
    assert jobs_status(api, key["key"]) == 200


def test_a_deleted_key_is_nobodys_and_is_gone_from_the_list(api: Served) -> None:
    key = made(api)
    assert call(api, "POST", "/api/auth/api-key/delete", {"keyId": key["id"]}).json() == {"success": True}
    assert jobs_status(api, key["key"]) == 401
    assert call(api, "GET", f"/api/auth/api-key/get?id={key['id']}").status_code == 404
    assert call(api, "POST", "/api/auth/api-key/delete", {"keyId": key["id"]}).status_code == 404


def test_a_rotated_key_has_the_same_rights_and_its_old_value_lasts_as_long_as_asked(api: Served) -> None:
    old = made(api, name="deploy", scopes=["jobs:read"], metadata={"n": 1})
    new = call(api, "POST", "/api/auth/api-key/rotate", {"keyId": old["id"], "overlapMs": 3_600_000}).json()
    assert {name: new[name] for name in ("name", "scopes", "metadata")} == {
        "name": "deploy",
        "scopes": ["jobs:read"],
        "metadata": {"n": 1},
    }
    assert [jobs_status(api, key) for key in (old["key"], new["key"])] == [200, 200]
    newest = call(api, "POST", "/api/auth/api-key/rotate", {"keyId": new["id"]}).json()
    assert [jobs_status(api, key) for key in (new["key"], newest["key"])] == [401, 200]


def test_uses_are_counted_and_refilled(api: Served) -> None:
    key = made(api, remaining=2)
    assert [jobs_status(api, key["key"]) for _ in range(3)] == [200, 200, 429]
    spent = call(api, "GET", "/api/v1/jobs", key=key["key"])
    assert spent.json()["code"] == "key_spent"
    assert "retry-after" not in spent.headers
    refilled = made(api, remaining=1, refillAmount=2, refillIntervalMs=3_600_000)
    assert [jobs_status(api, refilled["key"]) for _ in range(2)] == [200, 429]
    assert 3500 < int(call(api, "GET", "/api/v1/jobs", key=refilled["key"]).headers["retry-after"]) <= 3600

    async def an_hour_passes() -> None:
        async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
            passed = text("UPDATE api_keys SET refilled_at = refilled_at - interval '1 h' WHERE id = :id")
            await connection.execute(passed, {"id": refilled["id"]})

    api.wait(an_hour_passes())
    assert [jobs_status(api, refilled["key"]) for _ in range(3)] == [200, 200, 429]


def test_every_place_for_a_key_works_and_a_bad_key_is_not_made_good_by_another(api: Served) -> None:
    for headers in ({"x-api-key": KEY}, {"authorization": f"Bearer {KEY}"}, {"authorization": f"x-api-key {KEY}"}):
        assert call(api, "GET", "/api/v1/jobs", key=None, headers=headers).status_code == 200
    both = {"x-api-key": "wrong", "authorization": f"Bearer {KEY}"}
    assert call(api, "GET", "/api/v1/jobs", key=None, headers=both).status_code == 401


@pytest.mark.parametrize(
    ("wishes", "pointer"),
    [
        ({"expiresIn": 0}, "/expiresIn"),
        ({"expiresIn": 5, "expiresInMs": 5000}, ""),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"refillAmount": 5}, ""),
        ({"remaining": 0}, "/remaining"),
        ({"name": "x" * 256}, "/name"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_wish_that_cannot_be_met_names_its_field(api: Served, wishes: dict[str, Any], pointer: str) -> None:
    answer = call(api, "POST", "/api/auth/api-key/create", wishes)
    assert answer.status_code == 400
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


def test_last_use_is_written_at_most_once_a_minute(api: Served) -> None:
    key = made(api)
    assert call(api, "GET", f"/api/auth/api-key/get?id={key['id']}").json()["lastUsedAt"] is None
    jobs_status(api, key["key"])
    first = call(api, "GET", f"/api/auth/api-key/get?id={key['id']}").json()["lastUsedAt"]
    jobs_status(api, key["key"])
    assert call(api, "GET", f"/api/auth/api-key/get?id={key['id']}").json()["lastUsedAt"] == first
    assert first is not None


def test_what_is_done_to_keys_can_be_rehearsed(api: Served) -> None:
    key = made(api, name="old", scopes=["jobs:read", "keys:write"])
    before = call(api, "GET", "/api/auth/api-key/list").json()

    def would(what: str, body: Any, key: str = KEY) -> tuple[int, Any]:
        answer = call(api, "POST", f"/api/auth/api-key/{what}?validateOnly=true", body, key=key)
        return answer.status_code, answer.json()

    status, created = would("create", {"name": "new"})
    assert (status, created["name"], "key" in created) == (200, "new", False)
    assert would("create", {"scopes": ["admin"]}, key["key"])[0] == 400
    assert would("update", {"keyId": key["id"], "name": "new"})[1]["name"] == "new"
    status, rotated = would("rotate", {"keyId": key["id"]})
    assert (status, rotated["name"], "key" in rotated) == (200, "old", False)
    assert would("delete", {"keyId": key["id"]}) == (200, {"success": True})
    assert would("delete", {"keyId": "key_none"})[0] == 404
    after = call(api, "GET", "/api/auth/api-key/list").json()
    assert [{**each, "lastUsedAt": None} for each in after] == [{**each, "lastUsedAt": None} for each in before]


def test_a_key_may_be_asked_for_without_a_body(api: Served) -> None:
    answer = call(api, "POST", "/api/auth/api-key/create")
    assert (answer.status_code, answer.json()["scopes"]) == (201, ["jobs:read", "jobs:write"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/auth/api-key/create", {"name": "lost answer"}),
        ("/api/v1/members", {"role": "member"}),
        ("/api/v1/signing-secrets", {}),
    ],
)
def test_what_shows_a_secret_is_carried_out_once_and_the_secret_not_kept(api: Served, path: str, body: Any) -> None:
    headers = {"idempotency-key": f"once{path}"}
    first = call(api, "POST", path, body, headers=headers)
    again = call(api, "POST", path, body, headers=headers)
    assert (first.status_code, again.status_code, again.json()["code"]) == (201, 409, "secret_was_shown")
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json()["id"] not in again.text
    other = call(api, "POST", path, {**body, "colour": "red"}, headers={"idempotency-key": f"bad{path}"})
    assert other.status_code == 400
    assert call(api, "POST", path, body, headers={"idempotency-key": f"bad{path}"}).status_code == 201
