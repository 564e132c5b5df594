"""Members, the audit, export and deletion of a tenant, over HTTP and PostgreSQL."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from core.identity import Role
from core.ports.accounts import Principal
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.tables import metadata
from rubato.adapters.postgres.tenant_data import remove_deleted_tenants, remove_old_audit_entries
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh

JOB = {"name": "j", "url": "https://example.com", "baselineIntervalMs": 60000}


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str) -> Iterator[Served]:
    for url in fresh(postgres_url, template):
        with served(url) as house:
            yield house


@pytest.fixture
def own(api: Served, request: pytest.FixtureRequest) -> str:
    """Return the key of a fresh tenant's admin; the tenant is named after the test."""
    key = f"cron_own_{request.node.name[:60]}"
    api.wait(api.services.accounts.bootstrap(key, tenant=request.node.name, user="first"))
    return key


def call(api: Served, method: str, path: str, body: Any = None, *, key: str = KEY, **query: str) -> Any:
    options = {"json": body} if body is not None else {}
    headers = {"x-api-key": key}
    return api.client.request(method, f"{api.url}{path}", headers=headers, params=query, **options)


def execute(api: Served, statement: str, **values: Any) -> list[Any]:
    """Run a statement as the worker's role may."""

    async def run() -> list[Any]:
        async with transaction(api.worker._engine) as connection:
            done = await connection.execute(text(statement), values)
            return list(done) if done.returns_rows else []

    found: list[Any] = api.wait(run())
    return found


def whoami(api: Served, key: str) -> dict[str, Any]:
    found: dict[str, Any] = call(api, "GET", "/api/auth/session", key=key).json()
    return found


def test_an_invitation_is_listed_until_it_is_withdrawn(api: Served, own: str) -> None:
    made = call(api, "POST", "/api/v1/members", {"role": "member", "note": "for Ann"}, key=own)
    assert made.status_code == 201
    assert "/api/auth/sign-in/social/github?invitation=" in made.json()["url"]
    listed = call(api, "GET", "/api/v1/members", key=own).json()
    assert [(each["id"], each["note"]) for each in listed["invitations"]] == [(made.json()["id"], "for Ann")]
    assert "url" not in listed["invitations"][0]
    gone = f"/api/v1/members/{made.json()['id']}"
    assert call(api, "DELETE", gone, key=own).status_code == 204
    assert call(api, "DELETE", gone, key=own).status_code == 404
    assert call(api, "GET", "/api/v1/members", key=own).json()["invitations"] == []


def test_the_last_admin_stays_one(api: Served, own: str) -> None:
    me = whoami(api, own)["userId"]
    for method, body in (("DELETE", None), ("PATCH", {"role": "member"})):
        answer = call(api, method, f"/api/v1/members/{me}", body, key=own)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")


def test_two_admins_who_remove_each_other_leave_one(api: Served, own: str) -> None:
    who = whoami(api, own)
    first = Principal(who["tenantId"], who["userId"], "admin")
    second = Principal(who["tenantId"], "usr_2", "admin")
    members = api.services.identity.members

    async def race() -> list[Any]:
        async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
            add = "INSERT INTO users (tenant_id, id, name, role) VALUES (:t, 'usr_2', 'second', 'admin')"
            await connection.execute(text(add), {"t": first.tenant_id})
        access.act_for(first.tenant_id)
        return await asyncio.gather(
            members.remove(first, second.user_id), members.remove(second, first.user_id), return_exceptions=True
        )

    outcomes = api.wait(race())
    assert sum(outcome is None for outcome in outcomes) == 1
    refused = next(outcome for outcome in outcomes if outcome is not None)
    assert refused.code == "last_admin"


def test_a_changed_role_counts_from_the_next_request(api: Served, own: str) -> None:
    who = whoami(api, own)
    admin = Principal(who["tenantId"], who["userId"], "admin")

    async def demote() -> None:
        async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
            add = "INSERT INTO users (tenant_id, id, name, role) VALUES (:t, 'usr_3', 'third', 'admin')"
            await connection.execute(text(add), {"t": admin.tenant_id})
        access.act_for(admin.tenant_id)
        await api.services.identity.members.set_role(admin, admin.user_id, Role.MEMBER)

    assert call(api, "GET", "/api/v1/audit", key=own).status_code == 200
    api.wait(demote())
    assert call(api, "GET", "/api/v1/audit", key=own).status_code == 403


def test_every_change_leaves_an_entry_with_its_outcome(api: Served, own: str) -> None:
    job = call(api, "POST", "/api/v1/jobs", JOB, key=own).json()
    call(api, "POST", f"/api/v1/jobs/{job['id']}/pause", {"reason": "quiet please"}, key=own)
    call(api, "POST", "/api/v1/jobs", {**JOB, "url": "nonsense"}, key=own)
    call(api, "DELETE", "/api/v1/jobs/job_none", key=own)
    call(api, "GET", "/api/v1/jobs", key=own)
    key = call(api, "POST", "/api/auth/api-key/create", {"name": "ci"}, key=own).json()
    found = call(api, "GET", "/api/v1/audit", key=own).json()["data"]
    assert [(each["action"], each["status"]) for each in reversed(found)] == [
        ("createJob", 201),
        ("pauseJob", 200),
        ("createJob", 400),
        ("deleteJob", 404),
        ("createApiKey", 201),
    ]
    paused = next(each for each in found if each["action"] == "pauseJob")
    assert paused["subject"] == {"job_id": job["id"]}
    assert paused["requestId"].startswith("req_")
    assert paused["userId"] == whoami(api, own)["userId"]
    assert found[0]["detail"]["keyId"] == key["id"]
    assert key["key"] not in json.dumps(found)
    assert "quiet please" not in json.dumps(found)


def test_what_is_done_to_members_can_be_rehearsed(api: Served, own: str) -> None:
    asked = call(api, "POST", "/api/v1/members", {"role": "member"}, key=own).json()
    me = whoami(api, own)["userId"]
    tenant = call(api, "GET", "/api/v1/tenant", key=own).json()
    before = call(api, "GET", "/api/v1/members", key=own).json()

    def would(method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        answer = call(api, method, path, body, key=own, validateOnly="true", **query)
        return answer.status_code, answer.json()

    status, invited = would("POST", "/api/v1/members", {"role": "admin", "note": "n"})
    assert (status, invited["role"], "url" in invited) == (200, "admin", False)
    assert would("DELETE", f"/api/v1/members/{asked['id']}") == (200, {"success": True})
    assert would("DELETE", "/api/v1/members/inv_none")[0] == 404
    assert would("PATCH", f"/api/v1/members/{me}", {"role": "admin"})[1]["role"] == "admin"
    assert would("PATCH", f"/api/v1/members/{me}", {"role": "member"})[1]["code"] == "last_admin"
    assert would("DELETE", "/api/v1/tenant", confirm=tenant["name"]) == (200, tenant)
    assert call(api, "GET", "/api/v1/members", key=own).json() == before


def test_the_audit_tells_a_replay_from_a_change_and_has_no_rehearsal(api: Served, own: str) -> None:
    headers = {"x-api-key": own, "idempotency-key": "once"}
    for _ in range(2):
        api.client.post(f"{api.url}/api/v1/jobs", headers=headers, json=JOB)
    job = call(api, "GET", "/api/v1/jobs", key=own).json()["data"][0]
    call(api, "DELETE", f"/api/v1/jobs/{job['id']}", key=own, validateOnly="true")
    call(api, "DELETE", f"/api/v1/jobs/{job['id']}", key=own)
    found = call(api, "GET", "/api/v1/audit", key=own).json()["data"]
    assert [(each["action"], each["status"], each["detail"]) for each in reversed(found)] == [
        ("createJob", 201, {}),
        ("createJob", 201, {"replayed": True}),
        ("deleteJob", 204, {}),
    ]


def test_the_audit_is_paged_and_filtered(api: Served, own: str) -> None:
    for _ in range(3):
        call(api, "POST", "/api/v1/jobs", JOB, key=own)
    call(api, "POST", "/api/v1/members", {"role": "member"}, key=own)
    first = call(api, "GET", "/api/v1/audit", key=own, limit="2", action="createJob").json()
    rest = call(api, "GET", "/api/v1/audit", key=own, limit="2", action="createJob", cursor=first["nextCursor"]).json()
    assert [len(page["data"]) for page in (first, rest)] == [2, 1]
    assert rest["nextCursor"] is None
    assert {each["action"] for page in (first, rest) for each in page["data"]} == {"createJob"}


def test_an_entry_is_open_while_its_change_is_under_way(api: Served, own: str) -> None:
    """What a process that dies leaves behind: an entry without an outcome."""
    who = whoami(api, own)
    asker = Principal(who["tenantId"], who["userId"], "admin", "key_x")

    async def cut_off() -> None:
        access.act_for(asker.tenant_id)
        now = api.services.clock.now()
        await api.services.identity.audit.open(asker, now, "createJob", {}, "req_cut")

    api.wait(cut_off())
    (entry,) = call(api, "GET", "/api/v1/audit", key=own).json()["data"]
    assert (entry["requestId"], entry["status"]) == ("req_cut", None)


def test_old_entries_are_removed_and_young_ones_kept(api: Served, own: str) -> None:
    call(api, "POST", "/api/v1/jobs", JOB, key=own)
    engine = api.worker._engine
    api.wait(remove_old_audit_entries(engine))
    assert len(call(api, "GET", "/api/v1/audit", key=own).json()["data"]) == 1
    assert api.wait(remove_old_audit_entries(engine, kept=timedelta(0))) >= 1
    assert call(api, "GET", "/api/v1/audit", key=own).json()["data"] == []


def test_an_export_has_every_kind_of_row_and_no_secret(api: Served) -> None:
    api.populate()
    secret = {**JOB, "secretHeaders": {"Authorization": "Bearer hunter2hunter2"}}
    call(api, "POST", "/api/v1/jobs", secret)
    call(api, "POST", "/api/v1/members", {"role": "member"})
    answer = call(api, "GET", "/api/v1/tenant/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    kinds = {row["type"] for row in rows}
    assert kinds >= {
        *("tenant", "user", "apiKey", "invitation", "auditEntry", "job", "jobVersion", "schedule"),
        *("run", "hint", "decision", "session"),
    }
    assert {row.get("tenantId", row.get("id")) for row in rows} == {api.tenant}
    assert {"Authorization": None} in [row.get("secretHeaders") for row in rows]
    assert "hunter2" not in answer.text
    assert KEY not in answer.text
    for name in ("hash", "lookup", "secretBody"):
        assert not any(name in row for row in rows)


def test_a_deleted_tenant_is_out_at_once_and_its_rows_go(api: Served, own: str) -> None:
    call(api, "POST", "/api/v1/jobs", JOB)
    for _ in range(3):
        call(api, "POST", "/api/v1/jobs", {**JOB, "splay": False}, key=own)
    tenant_id, tenant = whoami(api, own)["tenantId"], call(api, "GET", "/api/v1/tenant", key=own).json()
    refused = call(api, "DELETE", "/api/v1/tenant", key=own, confirm="something else")
    assert refused.json()["errors"][0]["parameter"] == "confirm"
    assert call(api, "DELETE", "/api/v1/tenant", key=own, confirm=tenant["name"]).status_code == 202
    assert call(api, "GET", "/api/v1/jobs", key=own).status_code == 401
    claims = api.wait(api.worker.claim("w", limit=100, lease=timedelta(seconds=30)))
    assert tenant_id not in {claim.ref.tenant_id for claim in claims.jobs}
    engine = api.worker._engine
    assert api.wait(remove_deleted_tenants(engine)) == []
    assert api.wait(remove_deleted_tenants(engine, grace=timedelta(0))) == [tenant_id]
    for name, table in metadata.tables.items():
        column = "id" if name == "tenants" else "tenant_id"
        if column in table.columns and name not in ("accounts",):
            assert execute(api, f"SELECT 1 FROM {name} WHERE {column} = :t", t=tenant_id) == [], name
    assert execute(api, "SELECT 1 FROM jobs WHERE tenant_id = :t LIMIT 1", t=api.tenant) != []
