"""The later screens over HTTP and PostgreSQL: who sees them, what they escape, and that forms do what they say."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from core.entities import Definition, HttpAction, IntervalBaseline, RunStatus
from core.identity import Role
from core.ports.accounts import Principal
from core.ports.store import JobRef
from core.usecases.begin import Beginning, begin
from core.usecases.settle import Finished, settle
from rubato.adapters.github import GitHub
from rubato.adapters.postgres import access
from tests.fake_github import FakeGitHub, fake_github
from tests.integration.served import Served, served
from tests.postgres import fresh
from tests.unit.pages import EVIL

SAME_SITE = {"sec-fetch-site": "same-origin"}
EVERYBODYS = ["/runs", "/failures", "/quota", "/evals", "/keys", "/settings", "/settings/channels", "/settings/usage"]
ADMINS = ["/cron", "/settings/members", "/settings/audit"]


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        yield fake


@pytest.fixture(scope="module")
def house(postgres_url: str, template: str, github: FakeGitHub) -> Iterator[Served]:
    def provider(url: str) -> GitHub:
        return GitHub("client", "hunter2", callback=f"{url}/api/auth/callback/github", url=github.url, allow=["*"])

    for url in fresh(postgres_url, template):
        with served(url, provider=provider) as made:
            yield made


@pytest.fixture(scope="module")
def ids(house: Served) -> dict[str, str]:
    """What the tenant has: jobs, runs and all the rest, by the name of the path's parameter."""
    return house.populate()


def signed_in(house: Served, github: FakeGitHub, number: int, role: Role | None) -> httpx2.Client:
    """Sign somebody in: invited to the house's tenant as `role`, or (None) to a tenant of their own."""
    github.user = {"id": number, "login": f"person{number}", "name": None}
    query = {"redirect": "/runs"}
    if role is not None:

        async def invited() -> str:
            access.act_for(house.tenant)
            (first, *_), _ = await house.services.identity.members.list(Principal(house.tenant, "", "admin"))
            who = Principal(house.tenant, first.id, "admin")
            return (await house.services.identity.members.invite(who, role, note=None, lifetime_s=600))[1]

        query["invitation"] = house.wait(invited())
    browser = httpx2.Client(base_url=house.url, trust_env=False, timeout=20)
    away = browser.get("/api/auth/sign-in/social/github", params=query).headers["location"]
    assert browser.get(github.authorise(away)).headers["location"] == "/runs"
    return browser


@pytest.fixture(scope="module")
def admin(house: Served, github: FakeGitHub) -> Iterator[httpx2.Client]:
    browser = signed_in(house, github, 1, Role.ADMIN)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def member(house: Served, github: FakeGitHub) -> Iterator[httpx2.Client]:
    browser = signed_in(house, github, 2, Role.MEMBER)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def stranger(house: Served, github: FakeGitHub) -> Iterator[httpx2.Client]:
    browser = signed_in(house, github, 3, None)
    yield browser
    browser.close()


def send(browser: httpx2.Client, path: str, **fields: str) -> httpx2.Response:
    """Send a form as a page of ours would."""
    return browser.post(path, data=fields, headers=SAME_SITE)


def seen(browser: httpx2.Client, path: str) -> str:
    """Return a page."""
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def settled(house: Served, name: str, finished: Finished) -> str:
    """Register a job and let its first run end so; return the run's id."""

    async def work() -> str:
        access.act_for(house.tenant)
        given, worker = house.services, house.worker
        definition = Definition(
            name, HttpAction("https://example.com/"), IntervalBaseline(timedelta(hours=1)), splay=False
        )
        job, _ = await given.jobs.register(house.tenant, definition)
        ref, cron, made = JobRef(house.tenant, job.id), given.jobs.cron, given.jobs.ids
        claims = await worker.claim("w1", limit=100, lease=timedelta(seconds=30))
        claim = next(each for each in claims.jobs if each.ref == ref)
        begun = Beginning(claim.token, "w1", timedelta(hours=1))
        await worker.change(ref, lambda snapshot: begin(snapshot, begun, cron=cron, ids=made))
        await worker.change(
            ref, lambda snapshot: settle(snapshot, token=claim.token, finished=finished, cron=cron, ids=made)
        )
        return claim.run_id

    run: str = house.wait(work())
    return run


@pytest.mark.parametrize("path", [*EVERYBODYS, *ADMINS])
def test_nobody_sees_a_screen_before_signing_in(house: Served, path: str) -> None:
    answer = house.client.get(f"{house.url}{path}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")


@pytest.mark.parametrize("path", EVERYBODYS)
def test_a_member_sees_a_screen(member: httpx2.Client, ids: dict[str, str], path: str) -> None:
    assert "<h1>" in seen(member, path)


@pytest.mark.parametrize("path", ADMINS)
def test_admins_alone_see_an_admins_screen(admin: httpx2.Client, member: httpx2.Client, path: str) -> None:
    assert member.get(path).status_code == 403
    assert "<h1>" in seen(admin, path)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/cron", {"key": "k", "target": "system.log_message", "baselineCron": "0 * * * *"}),
        ("/cron/{cron_job_id}/run", {}),
        ("/cron/{cron_job_id}/retire", {}),
        ("/settings/planning", {"value": "off"}),
        ("/settings/members", {"role": "admin"}),
        ("/settings/members/{member_id}/role", {"role": "member"}),
        ("/settings/members/{member_id}/remove", {}),
    ],
)
def test_a_member_sends_no_form_of_an_admins(
    member: httpx2.Client, ids: dict[str, str], path: str, fields: dict[str, str]
) -> None:
    assert send(member, path.format(**ids), **fields).status_code == 403


@pytest.mark.parametrize("path", ["/keys", "/settings/channels", "/settings/planning", "/cron", "/settings/members"])
def test_another_sites_form_is_refused(admin: httpx2.Client, path: str) -> None:
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}):
        assert admin.post(path, data={"name": "x"}, headers=headers).status_code == 403


def test_another_tenants_things_are_not_there(
    stranger: httpx2.Client, admin: httpx2.Client, ids: dict[str, str]
) -> None:
    for path in ("/runs/{run_id}", "/cron/{cron_job_id}", "/runs/{cron_run_id}"):
        assert stranger.get(path.format(**ids)).status_code == 404
        assert admin.get(path.format(**ids)).status_code == 200
    for path in (
        "/runs/{run_id}/cancel",
        "/cron/{cron_job_id}/run",
        "/settings/channels/{channel_id}/test",
        "/settings/channels/{channel_id}/remove",
        "/settings/members/{member_id}/remove",
        "/keys/key_none/revoke",
    ):
        assert send(stranger, path.format(**ids)).status_code == 404, path
    for path in (*EVERYBODYS, *ADMINS):
        page = seen(stranger, path)
        assert not [name for name, each in ids.items() if len(each) > 12 and each in page], path


def test_what_a_target_answered_is_shown_as_text(house: Served, admin: httpx2.Client) -> None:
    failed = Finished(RunStatus.FAILED, EVIL, status_code=500, response_excerpt=EVIL, response_bytes=len(EVIL))
    run = settled(house, f"named {EVIL}"[:200], failed)
    for path in ("/runs", f"/runs/{run}", "/failures"):
        page = seen(admin, path)
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert" in page


def test_failures_are_counted_by_class_and_message(house: Served, admin: httpx2.Client) -> None:
    for name in ("one", "two"):
        settled(house, name, Finished(RunStatus.FAILED, "Request timed out after 30000ms"))
    page = seen(admin, "/failures?since=1h")
    row = page[page.index("<h2>Timed out</h2>") :]
    assert "2 jobs" in row
    assert re.search(r"Request timed out after 30000ms.*?<strong>2</strong>", row, flags=re.S)
    assert "Nothing failed" not in page


def test_runs_are_narrowed_and_paged(admin: httpx2.Client, ids: dict[str, str]) -> None:
    job = ids["job_id"]
    assert f"/runs/{ids['run_id']}" in seen(admin, f"/runs?job={job}&status=succeeded&since=24h")
    assert "No runs here" in seen(admin, f"/runs?job={job}&status=canceled")
    assert "No runs here" in seen(admin, f"/runs?job={job}&until=2026-01-31T12:00:00Z")
    assert admin.get("/runs?since=yesterday").status_code == 400
    assert admin.get("/runs?cursor=forged").status_code == 400


def test_a_key_is_shown_once_replaced_and_ended(house: Served, admin: httpx2.Client) -> None:
    made = send(admin, "/keys", name="CI <b>", days="30", **{"scope-jobs:read": "true"})
    assert made.status_code == 201
    (value,) = re.findall(r'value="(cron_\w+)"', made.text)
    assert made.headers["cache-control"] == "no-store"
    jobs = house.client.get(f"{house.url}/api/v1/jobs", headers={"x-api-key": value})
    assert jobs.status_code == 200
    page = seen(admin, "/keys")
    assert value not in page
    assert "CI &lt;b&gt;" in page
    (key,) = {each for each in re.findall(r"/keys/(\w+)/revoke", page) if each not in ("",)} - _others(admin, page)
    replaced = send(admin, f"/keys/{key}/rotate", overlap="3600000")
    (newer,) = re.findall(r'value="(cron_\w+)"', replaced.text)
    assert newer != value
    assert send(admin, f"/keys/{key}/revoke").headers["location"] == "/keys?done=revoked"
    assert house.client.get(f"{house.url}/api/v1/jobs", headers={"x-api-key": value}).status_code == 401
    assert house.client.get(f"{house.url}/api/v1/jobs", headers={"x-api-key": newer}).status_code == 200
    assert "createApiKey" in seen(admin, "/settings/audit")
    assert send(admin, "/keys", name="none").status_code == 400  # it may do nothing: no box is ticked


def _others(admin: httpx2.Client, page: str) -> set[str]:
    """Return the keys of a page that are not the one in its first row."""
    return set(re.findall(r"/keys/(\w+)/revoke", page)[1:])


def test_a_switch_is_turned_with_a_reason_and_stands_in_the_history(admin: httpx2.Client) -> None:
    turned = send(admin, "/settings/planning", value="shadow", reason="watching <it>")
    assert turned.headers["location"] == "/settings?done=saved"
    page = seen(admin, "/settings")
    assert "watching &lt;it&gt;" in page
    assert send(admin, "/settings/planning", value="nonsense").status_code == 400
    send(admin, "/settings/planning", value="on")


def test_an_invitation_brings_somebody_in(house: Served, github: FakeGitHub, admin: httpx2.Client) -> None:
    answer = send(admin, "/settings/members", note="for Zoe", role="member", days="1")
    assert answer.status_code == 201
    (token,) = re.findall(r"invitation=([\w-]+)", answer.text)
    assert token not in seen(admin, "/settings/members")
    github.user = {"id": 9, "login": "zoe", "name": None}
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as browser:
        away = browser.get(f"/api/auth/sign-in/social/github?invitation={token}").headers["location"]
        browser.get(github.authorise(away))
        assert browser.get("/runs").status_code == 200
        page = seen(admin, "/settings/members")
        assert "<strong>zoe</strong>" in page
        zoe = re.findall(r"/settings/members/(usr_\w+)/remove", page[page.index("<strong>zoe") :])[0]
        assert send(admin, f"/settings/members/{zoe}/remove").status_code == 303
        assert browser.get("/runs").status_code == 303


def test_a_channel_is_added_tried_and_removed(admin: httpx2.Client) -> None:
    fields = {"name": "On <call>", "kind": "webhook", "address": "https://hooks.example.com/secret", "streak": "5"}
    added = send(admin, "/settings/channels", **fields, **{"event-failing": "true"})
    assert added.headers["location"] == "/settings/channels?done=created"
    page = seen(admin, "/settings/channels")
    assert "On &lt;call&gt;" in page
    assert "failing ×5" in page
    assert "secret" not in page
    channel = re.findall(r"/settings/channels/(\w+)/test", page)[-1]
    assert send(admin, f"/settings/channels/{channel}/test").status_code == 303
    assert "This is a test of a channel" in seen(admin, "/settings/channels")
    assert send(admin, f"/settings/channels/{channel}/remove").status_code == 303
    refused = send(
        admin, "/settings/channels", **{**fields, "address": "http://127.0.0.1/"}, **{"event-failing": "true"}
    )
    assert refused.status_code == 400


def test_a_cron_job_lives_from_its_first_version_to_its_end(admin: httpx2.Client) -> None:
    fields = {"target": "system.log_message", "baselineCron": "*/5 * * * *", "payload": '{"message": "hello"}'}
    made = send(admin, "/cron", key="beat", **fields)
    assert made.status_code == 303, made.text
    page = made.headers["location"].partition("?")[0]
    assert "version 1" in seen(admin, page)
    newer = send(admin, f"{page}/versions", target="system.log_message", baselineCron="0 * * * *")
    assert newer.headers["location"] == f"{page}?done=saved"
    assert "version 2" in seen(admin, page)
    assert send(admin, f"{page}/pause", reason="no").status_code == 400
    assert send(admin, f"{page}/pause", reason="the ledger <moves>").status_code == 303
    assert "the ledger &lt;moves&gt;" in seen(admin, page)
    assert send(admin, f"{page}/run").status_code == 409
    assert send(admin, f"{page}/resume").status_code == 303
    assert send(admin, f"{page}/run").headers["location"] == f"{page}?done=asked"
    assert send(admin, f"{page}/retire").headers["location"] == "/cron?done=deleted"
    assert admin.get(page).status_code == 404
    assert send(admin, "/cron", key="k2", **{**fields, "payload": "{"}).status_code == 400
    assert send(admin, "/cron", key="k2", **{**fields, "target": "nothing.there"}).status_code == 400


def test_every_change_on_these_pages_stands_in_the_audit(admin: httpx2.Client) -> None:
    send(admin, "/keys", name="audited", days="30", **{"scope-jobs:read": "true"})
    send(admin, "/settings/planning", value="on")
    send(admin, "/settings/members", note="for somebody", role="member", days="1")
    fields = {"target": "system.log_message", "baselineCron": "*/5 * * * *", "payload": '{"message": "hello"}'}
    page = send(admin, "/cron", key="audited", **fields).headers["location"].partition("?")[0]
    send(admin, f"{page}/pause", reason="no")
    send(admin, f"{page}/pause", reason="the ledger moves")
    told: Any = admin.get("/api/v1/audit?limit=200").json()["data"]
    newest = [(entry["action"], entry["status"]) for entry in told[:6]]
    assert newest == [
        ("pauseCronJob", 303),
        ("pauseCronJob", 400),
        ("createCronJob", 303),
        ("inviteMember", 201),
        ("turnFlag", 303),
        ("createApiKey", 201),
    ]
