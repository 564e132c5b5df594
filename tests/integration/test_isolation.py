"""Every route, asked by everybody who must not get through: counted, printed, and asked again without the application's
own filter, so that row-level security is shown to hold by itself."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
import pytest
from sqlalchemy import text

from api.auth import administrator, caller, key_holder, principal
from api.guards import ADMIN_PREFIX
from core.ports.accounts import Principal
from rubato.adapters.postgres import access
from rubato.adapters.postgres.engine import transaction
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh

BODIES: dict[str, Any] = {
    "createJob": {"name": "n", "url": "https://example.com", "baselineIntervalMs": 60000},
    "putJobByKey": {"name": "n", "url": "https://example.com", "baselineIntervalMs": 60000},
    "changeJobs": {"action": "pause", "filter": {}},
    "updateJob": {"name": "renamed"},
    "createHint": {"kind": "interval", "intervalMs": 60000, "reason": "r"},
    "simulateHint": {"kind": "interval", "intervalMs": 60000, "reason": "r"},
    "createChannel": {"name": "on call", "kind": "webhook", "address": "https://example.com/hook"},
    "createApiKey": {},
    "inviteMember": {"role": "member"},
    "changeRole": {"role": "member"},
    "switchTenant": {"tenantId": "ten_x"},
    "turnFlag": {"value": "on"},
    "updateRule": {"untilRuns": 3},
    "createCronJob": {"key": "k", "target": "system.log_message", "baselineCron": "0 0 1 1 *"},
    "createCronJobVersion": {},
    "pauseCronJob": {"reason": "a migration"},
    "createRule": {"when": {"field": "/queue_depth", "op": "gt", "value": 500}, "intervalMs": 30000},
}
OF_KEYS = {"getApiKey", "updateApiKey", "rotateApiKey", "deleteApiKey"}
SIGNING = {"listSigningSecrets", "rotateSigningSecret", "endSigningSecret"}
ADMINS = SIGNING | {
    *("listMembers", "inviteMember", "changeRole", "removeMember", "listAudit", "exportTenant", "deleteTenant"),
    *("turnFlag", "listFlagChanges"),
    *("createCronJob", "listCronJobs", "getCronJob", "pauseCronJob", "resumeCronJob", "createCronJobVersion"),
    *("runCronJobNow", "listCronRuns", "getCronRun", "listTargets"),
}
OPEN = {"getHealth", "livez", "readyz", "metrics", "signIn", "signInByScript", "finishSignIn", "signOut"}
OUTSIDER = {"x-api-key": "cron_the_other_tenants_key"}


class Question(NamedTuple):
    """One operation, addressed at what belongs to the first tenant."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    is_admins: bool
    has_id: bool


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str) -> Iterator[Served]:
    for url in fresh(postgres_url, template):
        with served(url) as house:
            house.wait(house.services.accounts.bootstrap(OUTSIDER["x-api-key"], tenant="other", user="o"))
            yield house


@pytest.fixture
def ids(api: Served) -> dict[str, str]:
    made = send(api, "POST", "/api/auth/api-key/create", {"x-api-key": KEY}, {"name": "theirs"}).json()
    return {**api.populate(), "key_id": made["id"]}


def questions(api: Served, ids: dict[str, str]) -> list[Question]:
    """Return every operation there is; one that this file does not know how to ask fails here."""
    found = []
    document = api.app.openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = operation["operationId"]
            query = {"confirm": "fuzz"} if name == "deleteTenant" else {}
            body = BODIES.get(name)
            if name in OF_KEYS:
                query, body = ({"id": ids["key_id"]}, None) if method == "get" else ({}, {"keyId": ids["key_id"]})
            names = re.findall(r"\{(\w+)(?::\w+)?\}", path)
            kind = "cron_" if path.startswith(ADMIN_PREFIX) else ""
            filled = path.format(**{each: ids[kind + each] for each in names})
            has_id = bool({*names} - {"name", "key"}) or name in OF_KEYS  # these two are whoever asks's own
            found.append(Question(name, method.upper(), filled, query, body, name in ADMINS, has_id))
    return found


def send(api: Served, method: str, path: str, headers: dict[str, str], body: Any = None, **query: str) -> Any:
    options = {"json": body} if body is not None else {}
    return api.client.request(method, f"{api.url}{path}", headers=headers, params=query, **options)


def ask(api: Served, question: Question, headers: dict[str, str]) -> httpx2.Response:
    answer: httpx2.Response = send(api, question.method, question.path, headers, question.body, **question.query)
    return answer


def everything_of(api: Served, tenant_id: str) -> str:
    """Return the tenant's rows, but for what asking alone leaves behind."""

    async def read() -> str:
        access.act_for(tenant_id)
        rows = [
            json.dumps(row, sort_keys=True, default=str)
            async for row in api.services.identity.tenant.export(Principal(tenant_id, "", "admin"))
            if row["type"] not in ("auditEntry", "apiKey")
        ]
        return "\n".join(sorted(rows))

    found: str = api.wait(read())
    return found


def test_nobody_gets_through_where_they_must_not(api: Served, ids: dict[str, str]) -> None:
    """R28: another tenant's id answers exactly like one that does not exist."""
    asked = [each for each in questions(api, ids) if each.name not in OPEN]
    everybody = strangers(api)
    before = everything_of(api, api.tenant)
    counts: Counter[tuple[str, int]] = Counter()
    failures = []
    for who, headers in everybody.items():
        for question in asked:
            if who == "member" and not question.is_admins:
                continue  # a member may change jobs
            answer = ask(api, question, headers)
            counts[who, answer.status_code] += 1
            wanted = expected(who, question)
            if answer.status_code not in wanted:
                failures.append((who, question.name, answer.status_code, answer.text[:200]))
            if question.has_id and who == "another tenant" and answer.status_code == 404:
                nothing = ask(api, _of_nothing(question, ids), headers)
                if _blind(answer, ids) != _blind(nothing, ids):
                    failures.append((who, question.name, answer.text, nothing.text))
    assert everything_of(api, api.tenant) == before
    lines = [f"  {who:<16} {status}  {count}" for (who, status), count in sorted(counts.items())]
    sys.stdout.write("\n".join((f"\n{len(asked)} operations, {sum(counts.values())} requests", *lines, "")))
    assert failures == []


def test_row_level_security_holds_without_the_applications_filter(api: Served, ids: dict[str, str]) -> None:
    """The dependency now names the victim's tenant to every route, and only the database knows who really asks."""
    asked = [each for each in questions(api, ids) if each.name not in OPEN]
    before = everything_of(api, api.tenant)
    secrets = [value for name, value in ids.items() if name != "name"]
    counts: Counter[int] = Counter()
    failures = []
    fooled(api)
    try:
        for question in asked:
            answer = ask(api, question, {**OUTSIDER, "connection": "close"})  # the server closes it after an error
            counts[answer.status_code] += 1
            shown = answer.text
            for value in (*question.path.split("/"), *question.query.values(), *_strings(question.body)):
                shown = shown.replace(value, "") if value in secrets else shown  # an answer may quote the question
            leaked = [value for value in secrets if value in shown]
            has_rows = answer.status_code == 200 and answer.headers.get("content-type", "").startswith(
                "application/json"
            )
            rows = answer.json().get("data") if has_rows and isinstance(answer.json(), dict) else None
            if leaked and question.name not in ("whoAmI",):
                failures.append((question.name, answer.status_code, leaked))
            if rows and question.name not in ("getQuota", "listFlags", "listTargets"):  # as nobody set them
                failures.append((question.name, answer.status_code, rows[:1]))
            if question.has_id and answer.status_code < 300:
                failures.append((question.name, answer.status_code, answer.text[:200]))
    finally:
        api.app.dependency_overrides.clear()
    assert everything_of(api, api.tenant) == before
    sys.stdout.write(f"\nwithout the application's filter: {len(asked)} operations, {dict(sorted(counts.items()))}\n")
    assert failures == []


def test_the_second_look_can_fail(api: Served, ids: dict[str, str]) -> None:
    """With the database told the same lie as the application, the victim's rows are there to be seen."""
    fooled(api, also_the_database=True)
    try:
        path = f"/api/v1/jobs/{ids['job_id']}"
        assert send(api, "GET", path, OUTSIDER).json()["id"] == ids["job_id"]
    finally:
        api.app.dependency_overrides.clear()


def fooled(api: Served, *, also_the_database: bool = False) -> None:
    """Make every route believe that whoever asks is the first tenant's admin; the database is told the truth."""
    accounts = api.services.accounts

    async def liar() -> Principal:
        true = await accounts.authenticate(OUTSIDER["x-api-key"])
        victim = await accounts.authenticate(KEY)
        assert true is not None
        assert victim is not None
        access.act_for(victim.tenant_id if also_the_database else true.tenant_id)
        return victim

    for dependency in (caller, principal, key_holder, administrator):
        api.app.dependency_overrides[dependency] = liar


def strangers(api: Served) -> dict[str, dict[str, str]]:
    """Return everybody who must not get through, with what they send."""
    owner = {"x-api-key": KEY}

    def key(**wishes: Any) -> dict[str, Any]:
        found: dict[str, Any] = send(api, "POST", "/api/auth/api-key/create", owner, wishes).json()
        return found

    revoked, expired, reader = key(), key(), key(scopes=["jobs:read"])
    every = ["jobs:read", "jobs:write", "keys:write", "metrics:read"]
    member = key(scopes=every)
    send(api, "POST", "/api/auth/api-key/delete", owner, {"keyId": revoked["id"]})
    send(api, "POST", "/api/auth/api-key/update", owner, {"keyId": expired["id"], "expiresInMs": 1})
    api.wait(_make_member(api, member["id"]))
    return {
        "nobody": {},
        "a wrong key": {"x-api-key": "cron_wrong"},
        "revoked": {"x-api-key": revoked["key"]},
        "expired": {"x-api-key": expired["key"]},
        "another tenant": OUTSIDER,
        "read-only": {"x-api-key": reader["key"]},
        "member": {"x-api-key": member["key"]},
    }


async def _make_member(api: Served, key_id: str) -> None:
    """Give a key to a plain member of its tenant."""
    async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
        tenant = {"tenant": api.tenant, "key": key_id}
        add = "INSERT INTO users (tenant_id, id, name, role) VALUES (:tenant, 'usr_m', 'm', 'member') ON CONFLICT DO NOTHING"
        await connection.execute(text(add), tenant)
        await connection.execute(text("UPDATE api_keys SET user_id = 'usr_m' WHERE id = :key"), tenant)


def expected(who: str, question: Question) -> set[int]:
    """Return the statuses that are right."""
    if who in ("nobody", "a wrong key", "revoked", "expired"):
        return {401}
    if who == "another tenant":
        if question.name == "switchTenant":
            return {403}
        if question.name == "deleteTenant":
            return {400}  # it is asked to confirm with the victim's name
        if question.name in OF_KEYS or question.has_id:
            return {404}
        return {200, 201}  # its own, which holds nothing of the victim's
    if who == "read-only":
        if question.is_admins or question.name in OF_KEYS | {"createApiKey", "listApiKeys", "switchTenant"}:
            return {403}
        return {200} if question.method == "GET" else {403}
    return {403}


def _of_nothing(question: Question, ids: dict[str, str]) -> Question:
    path, query, body = question.path, dict(question.query), question.body
    for value in (each for each in ids.values() if "_" in each):
        nothing = value[:-4] + "0000"
        path = path.replace(value, nothing)
        query = {name: each.replace(value, nothing) for name, each in query.items()}
        body = json.loads(json.dumps(body).replace(value, nothing)) if body is not None else None
    return question._replace(path=path, query=query, body=body)


def _blind(answer: httpx2.Response, ids: dict[str, str]) -> Any:
    """Return an answer without what names the request itself."""
    document = answer.text
    for value in (each for each in ids.values() if "_" in each):
        document = document.replace(value, "ID").replace(value[:-4] + "0000", "ID")
    shown = json.loads(document)
    shown.pop("requestId", None)
    return answer.status_code, shown


def _strings(body: Any) -> list[str]:
    return [value for value in body.values() if isinstance(value, str)] if isinstance(body, dict) else []
