"""The pages over PostgreSQL and real HTTP: sign-in, tenancy under row-level security, audit, statements, live updates."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from sqlalchemy import event

from api.live import Live
from core.entities import Definition, HttpAction, IntervalBaseline
from core.ports.accounts import Principal
from rubato.adapters.github import GitHub
from rubato.adapters.postgres import access
from rubato.adapters.postgres.feed import PostgresFeed
from tests.fake_github import FakeGitHub, fake_github
from tests.integration.served import KEY, Served, served
from tests.integration.test_sign_in import sign_in
from tests.postgres import fresh

SAME_SITE = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        yield fake


@pytest.fixture(scope="module")
def house(postgres_url: str, template: str, github: FakeGitHub) -> Iterator[Served]:
    def provider(url: str) -> GitHub:
        return GitHub(
            "client", "hunter2", callback=f"{url}/api/auth/callback/github", url=github.url, allow=["octocat"]
        )

    for url in fresh(postgres_url, template):
        with served(url, provider=provider) as made:
            yield made


@pytest.fixture(scope="module")
def ids(house: Served) -> dict[str, str]:
    return house.populate()


@pytest.fixture
def owner(house: Served) -> Iterator[httpx2.Client]:
    """A browser at the machine of `rubato dev`, whose developer owns the tenant."""
    who: Principal = house.wait(house.services.accounts.authenticate(KEY))
    local = Principal(who.tenant_id, who.user_id, who.role)
    live = Live(PostgresFeed(house.services.store._engine), every_s=0.05)  # type: ignore[attr-defined]
    house.app.state.services = replace(house.services, local_owner=local, live=live)
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as browser:
        yield browser
    house.app.state.services = house.services


@pytest.fixture
def stranger(house: Served, github: FakeGitHub) -> Iterator[httpx2.Client]:
    """A browser that signed in to another tenant."""
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as browser:
        sign_in(browser, github, {"id": 1, "login": "octocat", "name": "Mona"})
        yield browser


def pages(ids: dict[str, str]) -> list[str]:
    job = f"/jobs/{ids['job_id']}"
    hint = f"{job}?hint={ids['hint_id']}&span=7d"
    return [
        job,
        hint,
        f"{job}/why",
        f"{job}/edit",
        f"{job}/rules",
        f"/rules/{ids['rule_id']}",
        f"/sessions/{ids['session_id']}",
    ]


def test_every_page_answers_its_owner(house: Served, owner: httpx2.Client, ids: dict[str, str]) -> None:
    for path in ["/", *pages(ids), f"/jobs/{ids['cron_job_id']}"]:
        answer = owner.get(path)
        assert (answer.status_code, path) == (200, path)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert house.faults == []


def test_who_has_not_signed_in_is_led_to_github_and_back(
    house: Served, github: FakeGitHub, ids: dict[str, str]
) -> None:
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as browser:
        led = browser.get("/?q=watched")
        assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=/%3Fq%3Dwatched")
        assert 'redirect=/%3Fq%3Dwatched"' in browser.get(led.headers["location"]).text
        github.user, github.organisations = {"id": 1, "login": "octocat", "name": "Mona"}, []
        begun = browser.get("/api/auth/sign-in/social/github", params={"redirect": "/?q=watched"})
        back = browser.get(github.authorise(begun.headers["location"]))
        assert back.headers["location"] == "/?q=watched"
        assert browser.get("/?q=watched").status_code == 200
        assert browser.post("/sign-out", headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert browser.post("/sign-out", headers=SAME_SITE).headers["location"] == "/sign-in"
        assert browser.get("/").status_code == 303


def test_another_tenants_things_are_not_there(stranger: httpx2.Client, ids: dict[str, str]) -> None:
    assert stranger.get("/").status_code == 200
    assert ids["job_id"] not in stranger.get("/").text
    for path in pages(ids):
        assert (stranger.get(path).status_code, path) == (404, path)
    for action in ("pause", "resume", "run", "plan", "hints/clear"):
        assert stranger.post(f"/jobs/{ids['job_id']}/{action}", headers=SAME_SITE).status_code == 404


def test_what_a_form_does_is_in_the_audit(house: Served, owner: httpx2.Client, ids: dict[str, str]) -> None:
    answer = owner.post(f"/jobs/{ids['job_id']}/pause", headers=SAME_SITE, data={"reason": "a migration"})
    assert answer.headers["location"].endswith("?done=paused")
    assert "Paused. Nothing that passes" in owner.get(answer.headers["location"]).text
    owner.post(f"/jobs/{ids['job_id']}/resume", headers=SAME_SITE)
    entries = house.client.get(f"{house.url}/api/v1/audit", headers={"x-api-key": KEY}).json()["data"]
    assert [(each["action"], each["subject"]) for each in entries[:2]] == [
        ("resumeJob", {"job_id": ids["job_id"]}),
        ("pauseJob", {"job_id": ids["job_id"]}),
    ]


def test_an_edit_from_the_page_keeps_what_the_form_does_not_show(
    house: Served, owner: httpx2.Client, ids: dict[str, str]
) -> None:
    at = f"{house.url}/api/v1/jobs/{ids['job_id']}"
    headers = {"x-api-key": KEY}
    house.client.patch(
        at, headers=headers, json={"labels": {"team": "a"}, "secretHeaders": {"Authorization": "hunter2"}}
    )
    before = house.client.get(at, headers=headers).json()
    form = {
        "name": "watched",
        "kind": "interval",
        "every": "2m",
        "url": before["url"],
        "method": "GET",
        "planner": "on",
    }
    form |= {"tighten": "true", "relax": "true", "pause": "true", "do": "save"}
    assert owner.post(f"/jobs/{ids['job_id']}/edit", headers=SAME_SITE, data=form).status_code == 303
    after: dict[str, Any] = house.client.get(at, headers=headers).json()
    changed = {name for name, value in after.items() if before[name] != value}
    assert changed <= {"baselineIntervalMs", "version", "updatedAt", "nextRunAt", "nextRunSource", "lastRun"}
    assert after["baselineIntervalMs"] == 120_000
    assert after["secretHeaders"] == {"Authorization": None}


def test_the_overview_takes_as_many_statements_for_many_jobs_as_for_one(
    house: Served, owner: httpx2.Client, ids: dict[str, str]
) -> None:
    engine = house.services.store._engine.sync_engine  # type: ignore[attr-defined]  # statements are counted where they leave
    sent: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        owner.get("/", params={"q": "watched"})
        few, sent[:] = len(sent), []
        house.wait(_many(house, 30))
        sent.clear()
        owner.get("/")
        many = len(sent)
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert 0 < many <= few


async def _many(house: Served, count: int) -> None:
    access.act_for(house.tenant)
    for number in range(count):
        every = IntervalBaseline(timedelta(hours=1))
        await house.services.jobs.register(
            house.tenant, Definition(f"many {number}", HttpAction("https://example.com/"), every)
        )


def events_of(house: Served, path: str, count: int, **headers: str) -> list[dict[str, Any]]:
    """Read so many events of a stream."""
    found: list[dict[str, Any]] = []
    with (
        httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as reader,
        reader.stream("GET", path, headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        told: dict[str, Any] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line and name:
                told[name] = value
            elif told:
                found.append({**told, "data": json.loads(told["data"])})
                told = {}
                if len(found) == count:
                    return found
    raise AssertionError(f"the stream ended after {found}")


def test_a_stream_goes_on_where_its_reader_left_off(house: Served, owner: httpx2.Client, ids: dict[str, str]) -> None:
    (ready,) = events_of(house, "/events", 1)
    assert (ready["event"], ready["data"]["jobIds"]) == ("ready", [])
    owner.post(f"/jobs/{ids['job_id']}/run", headers=SAME_SITE)
    for path, headers in (("/events", {}), ("/api/v1/events", {"x-api-key": KEY})):
        (missed,) = events_of(house, path, 1, **{"last-event-id": ready["id"], **headers})
        assert (missed["event"], missed["data"]["jobIds"]) == ("changed", [ids["job_id"]])


def test_a_change_is_told_while_a_reader_listens(house: Served, owner: httpx2.Client, ids: dict[str, str]) -> None:
    heard: list[dict[str, Any]] = []
    with (
        httpx2.Client(base_url=house.url, trust_env=False, timeout=20) as reader,
        reader.stream("GET", "/events") as answer,
    ):
        for line in answer.iter_lines():
            if line == "event: ready":
                owner.post(f"/jobs/{ids['cron_job_id']}/pause", headers=SAME_SITE)
            if line.startswith("data: ") and json.loads(line[6:])["jobIds"]:
                heard.append(json.loads(line[6:]))
                break
    assert heard[0]["jobIds"] == [ids["cron_job_id"]]


def test_nobody_follows_without_credentials(house: Served) -> None:
    assert house.client.get(f"{house.url}/api/v1/events").status_code == 401
    assert house.client.get(f"{house.url}/events").status_code == 303
