"""Secrets of jobs: sealed at rest, opened for the target alone, and gone from whatever else can be read."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from core.entities import RunStatus
from core.errors import ConfigurationError, SecretLostError
from core.ports.dispatcher import HttpRequest
from core.ports.store import JobRef
from core.usecases.sending import Sender
from planner.prompt import describe_job
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.http.isolated import IsolatedDispatcher
from rubato.adapters.postgres.engine import transaction
from rubato.adapters.postgres.secret_rotation import rotate_secrets
from rubato.adapters.vault import Vault, new_encryption_key
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh
from tests.processes import target

TOKEN, PASSWORD = 'tok"en-4f3c2b1a', "pässwörd-9e8d7c"
JOB = {"name": "j", "url": "https://example.com", "baselineIntervalMs": 60000, "splay": False}
SECRET = {
    **JOB,
    "method": "POST",
    "headersJson": {"X-Plain": "seen"},
    "secretHeaders": {"Authorization": f"Bearer {TOKEN}"},
    "bodyJson": {"user": "ann@example.com", "password": PASSWORD},
    "bodySecret": True,
}


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str) -> Iterator[Served]:
    for url in fresh(postgres_url, template):
        with served(url) as house:
            yield house


def call(api: Served, method: str, path: str, body: Any = None) -> Any:
    options = {"json": body} if body is not None else {}
    headers = {"x-api-key": KEY}
    return api.client.request(method, f"{api.url}{path}", headers=headers, **options)


def made(api: Served, **fields: Any) -> dict[str, Any]:
    answer = call(api, "POST", "/api/v1/jobs", {**SECRET, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def action_of(api: Served, job: dict[str, Any]) -> Any:
    return api.wait(api.worker.job(api.tenant, job["id"])).definition.action


def opened(api: Served, job: dict[str, Any]) -> tuple[dict[str, str], Any]:
    action = action_of(api, job)
    headers = {name: api.vault.open(sealed) for name, sealed in action.sealed_headers.items()}
    return headers, json.loads(api.vault.open(action.sealed_body)) if action.sealed_body else action.body_json


def test_what_is_secret_reads_back_as_null_and_is_sealed_in_the_database(api: Served) -> None:
    job = made(api)
    assert job["secretHeaders"] == {"Authorization": None}
    assert (job["bodySecret"], job["bodyJson"]) == (True, None)
    assert job["headersJson"] == {"X-Plain": "seen"}
    versions = call(api, "GET", f"/api/v1/jobs/{job['id']}/versions")
    assert TOKEN not in versions.text
    assert opened(api, job) == ({"Authorization": f"Bearer {TOKEN}"}, SECRET["bodyJson"])
    stored = str(rows(api, "SELECT row_to_json(v)::text FROM job_versions v"))
    assert "X-Plain" in stored
    for planted in (TOKEN, PASSWORD, "ann@example.com"):
        assert planted not in stored


def test_an_edit_keeps_what_it_sends_as_null(api: Served) -> None:
    job = made(api)
    path = f"/api/v1/jobs/{job['id']}"
    renamed = call(api, "PATCH", path, {"name": "renamed"}).json()
    assert opened(api, renamed)[1] == SECRET["bodyJson"]
    wider = {"secretHeaders": {"Authorization": None, "X-Key": "second"}}
    assert call(api, "PATCH", path, wider).json()["secretHeaders"] == {"Authorization": None, "X-Key": None}
    assert opened(api, job)[0] == {"Authorization": f"Bearer {TOKEN}", "X-Key": "second"}
    fewer = call(api, "PATCH", path, {"secretHeaders": {"X-Key": None}, "bodyJson": {"n": 1}}).json()
    assert fewer["secretHeaders"] == {"X-Key": None}
    assert opened(api, job) == ({"X-Key": "second"}, {"n": 1})
    plain = call(api, "PATCH", path, {"secretHeaders": None, "bodySecret": False}).json()
    assert (plain["secretHeaders"], plain["bodySecret"], plain["bodyJson"]) == ({}, False, None)
    again = call(api, "PATCH", path, {"bodyJson": {"n": 2}}).json()
    assert again["bodyJson"] == {"n": 2}
    assert call(api, "PATCH", path, {"bodySecret": True}).json()["bodyJson"] is None
    assert opened(api, job)[1] == {"n": 2}


def test_what_was_read_can_be_put_back_and_is_no_edit(api: Served) -> None:
    key = "as-it-is"
    job = made(api, key=key)
    path, shown = f"/api/v1/jobs/by-key/{key}", {name: job[name] for name in SECRET}
    assert call(api, "PUT", path, shown).json()["version"] == 1
    assert opened(api, job) == ({"Authorization": f"Bearer {TOKEN}"}, SECRET["bodyJson"])
    assert call(api, "PUT", path, SECRET).json()["version"] == 1
    assert call(api, "PATCH", f"/api/v1/jobs/{job['id']}", SECRET).json()["version"] == 1
    other = {**SECRET, "secretHeaders": {"Authorization": "Bearer another"}}
    assert call(api, "PUT", path, other).json()["version"] == 2
    assert opened(api, job)[0] == {"Authorization": "Bearer another"}
    without = {name: value for name, value in SECRET.items() if name != "secretHeaders"}
    assert call(api, "PUT", path, without).json()["secretHeaders"] == {}
    refused = call(api, "PUT", "/api/v1/jobs/by-key/nothing-stored", shown)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/secretHeaders/Authorization")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"secretHeaders": {"Authorization": None}}, "/secretHeaders/Authorization"),
        ({"secretHeaders": {"x-plain": "twice"}}, "/secretHeaders/x-plain"),
        ({"secretHeaders": {"Host": "evil"}}, "/secretHeaders/Host"),
        ({"secretHeaders": {"X": "line\nbreak"}}, "/secretHeaders/X"),
        ({"secretHeaders": {"bad name": "x"}}, "/secretHeaders/bad name"),
        ({"bodyJson": None}, "/bodyJson"),
    ],
)
def test_a_secret_that_cannot_be_is_refused_without_being_quoted(
    api: Served, fields: dict[str, Any], pointer: str
) -> None:
    answer = call(api, "POST", "/api/v1/jobs", {**SECRET, **fields})
    assert answer.status_code == 400
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    for planted in (TOKEN, PASSWORD, "evil", "break"):
        assert planted not in answer.text


@pytest.mark.parametrize("isolated", [False, True], ids=["in the worker", "in a process of its own"])
async def test_the_target_gets_the_secret_and_its_echo_is_taken_out(isolated: bool) -> None:
    vault = Vault([new_encryption_key()])
    policy = AddressPolicy(["loopback"])
    dispatcher: Any = (IsolatedDispatcher if isolated else HttpDispatcher)(policy, opener=vault.open)
    echo = json.dumps({"got": f"Bearer {TOKEN}", "pw": PASSWORD, "raw": TOKEN}).encode()
    with target() as served_target:
        served_target.reply = (500, {"content-type": "application/json"}, echo + TOKEN.encode())
        sent = HttpRequest(
            served_target.url,
            "POST",
            {"X-Plain": "seen"},
            sealed_headers={"Authorization": vault.seal(f"Bearer {TOKEN}")},
            sealed_body=vault.seal(json.dumps(SECRET["bodyJson"])),
        )
        result = await dispatcher.send(sent)
        ((_, _, headers, body),) = served_target.seen
    await dispatcher.close()
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["x-plain"] == "seen"
    assert json.loads(body) == SECRET["bodyJson"]
    assert result.status_code == 500
    assert result.body.count("[secret]") == 4
    for planted in (TOKEN, json.dumps(TOKEN)[1:-1], PASSWORD, json.dumps(PASSWORD)[1:-1]):
        assert planted not in result.body
        assert planted not in repr(sent)


async def test_a_plain_dispatcher_keeps_no_head_that_holds_a_secret() -> None:
    vault = Vault([new_encryption_key()])
    dispatcher = HttpDispatcher(AddressPolicy(["loopback"]), opener=vault.open)
    with target() as served_target:
        sealed = {"Authorization": vault.seal(f"Bearer {TOKEN}")}
        await dispatcher.send(HttpRequest(served_target.url, sealed_headers=sealed))
        await dispatcher.send(HttpRequest(served_target.url))
    assert len(dispatcher._heads) == 1
    assert TOKEN not in str(dispatcher._heads)
    await dispatcher.close()


async def test_a_secret_whose_key_is_gone_ends_its_run_with_a_reason_and_sends_nothing() -> None:
    sealed = {"Authorization": Vault([new_encryption_key()]).seal("x")}
    with target() as served_target:
        for opener in (None, Vault([new_encryption_key()]).open):
            dispatcher = HttpDispatcher(AddressPolicy(["loopback"]), opener=opener)
            result = await dispatcher.send(HttpRequest(served_target.url, sealed_headers=sealed))
            assert (result.status_code, result.error_code) == (None, "secret")
            assert "RUBATO_ENCRYPTION_KEYS" in (result.error or "")
        assert served_target.seen == []


def test_planted_secrets_show_nowhere(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A run against a target that echoes everything; then everything there is to read is read."""
    with target() as served_target:
        served_target.reply = (500, {}, f"denied: Bearer {TOKEN}, {PASSWORD}".encode())
        job = made(api)
        ref = JobRef(api.tenant, job["id"])

        async def run() -> Any:
            claims = await api.worker.claim("w1", limit=100, lease=timedelta(minutes=1))
            claim = next(each for each in claims.jobs if each.ref == ref)
            action = claim.job.definition.action
            policy = AddressPolicy(["loopback"])
            dispatcher = HttpDispatcher(policy, opener=api.vault.open)

            class Redirected:
                """Sends what was registered for example.com to the loopback target."""

                async def send(self, request: HttpRequest) -> Any:
                    return await dispatcher.send(request._replace(url=served_target.url))

                async def close(self) -> None:
                    await dispatcher.close()

            assert claim.run is not None
            finished = await Sender(Redirected()).send(claim.job, claim.run)
            assert TOKEN not in repr(claim.job)
            assert TOKEN not in repr(action)
            from core.usecases.begin import Beginning, begin
            from core.usecases.settle import settle

            cron, ids = api.services.jobs.cron, api.services.jobs.ids
            begun = Beginning(claim.token, "w1", timedelta(hours=1))
            await api.worker.change(ref, lambda seen: begin(seen, begun, cron=cron, ids=ids))
            await api.worker.change(
                ref, lambda seen: settle(seen, token=claim.token, finished=finished, cron=cron, ids=ids)
            )
            (plan,) = await api.worker.claim_plans(limit=1, lease=timedelta(minutes=1), recent_runs=10, only=ref)
            return finished, describe_job(plan.context)

        finished, prompt = api.wait(run())
    assert finished.status is RunStatus.FAILED
    assert "[secret]" in finished.response_excerpt
    shown = [
        prompt,
        finished.response_excerpt,
        *(
            call(api, "GET", path).text
            for path in (
                f"/api/v1/jobs/{job['id']}",
                f"/api/v1/jobs/{job['id']}/runs",
                f"/api/v1/jobs/{job['id']}/explanation",
                f"/api/v1/jobs/{job['id']}/versions",
                "/api/v1/tenant/export",
                "/api/v1/audit",
                "/openapi.json",
            )
        ),
        caplog.text,
        *(
            str(rows(api, f"SELECT row_to_json(t)::text FROM {name} t"))
            for name in ("runs", "job_versions", "sessions")
        ),
    ]
    assert "[secret]" in prompt
    for planted in (TOKEN, json.dumps(TOKEN)[1:-1], PASSWORD, json.dumps(PASSWORD)[1:-1]):
        assert [text_ for text_ in shown if planted in text_] == []


def test_rotation_seals_live_data_anew_and_the_old_key_can_go(api: Served) -> None:
    jobs = [made(api, name=f"r{n}") for n in range(5)]
    old = api.vault
    new = Vault([new_encryption_key(), *_keys(old)])
    moved = api.wait(rotate_secrets(api.worker._engine, new.renew))
    assert moved.seen == moved.renewed >= 5
    alone = Vault(_keys(new)[:1])
    for job in jobs:
        action = action_of(api, job)
        assert alone.open(action.sealed_headers["Authorization"]) == f"Bearer {TOKEN}"
        assert json.loads(alone.open(action.sealed_body)) == SECRET["bodyJson"]
        with pytest.raises(SecretLostError):
            old.open(action.sealed_body)
    again = api.wait(rotate_secrets(api.worker._engine, new.renew))
    assert (again.seen, again.renewed, again.lost) == (moved.seen, 0, 0)
    lost = api.wait(rotate_secrets(api.worker._engine, Vault([new_encryption_key()]).renew))
    assert (lost.renewed, lost.lost) == (0, moved.seen)
    back = api.wait(rotate_secrets(api.worker._engine, Vault([*_keys(old), *_keys(new)[:1]]).renew))
    assert back.renewed == moved.seen


@pytest.mark.parametrize("keys", [[], ["short"], ["x" * 44], [Fernet.generate_key().decode(), "second"]])
def test_what_is_no_key_is_refused_and_not_quoted(keys: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="RUBATO_ENCRYPTION_KEYS") as caught:
        Vault(keys)
    assert not any(key in str(caught.value) for key in keys)


def _keys(vault: Vault) -> list[str]:
    import base64

    return [base64.urlsafe_b64encode(each._signing_key + each._encryption_key).decode() for each in vault._all._fernets]


def rows(api: Served, statement: str) -> list[Any]:
    async def run() -> list[Any]:
        async with transaction(api.worker._engine) as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]  # a Row's own text is cut

    found: list[Any] = api.wait(run())
    return found
