"""Signing in against a GitHub on loopback: from the first redirect to the sign-out, and what is refused on the way."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import text

from api.limiting import OF_AN_ADDRESS, counter_of_addresses
from core.errors import ConfigurationError
from rubato.adapters.github import GitHub
from rubato.adapters.postgres.engine import transaction
from tests.fake_github import FakeGitHub, fake_github
from tests.integration.served import KEY, Served, served
from tests.postgres import fresh

JOB = {"name": "j", "url": "https://example.com", "baselineIntervalMs": 60000}
SAME_SITE = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        yield fake


@pytest.fixture(scope="module")
def api(postgres_url: str, template: str, github: FakeGitHub) -> Iterator[Served]:
    def provider(url: str) -> GitHub:
        allow = ["octocat", "hubot", "id:7", "org:rubato"]
        return GitHub("client", "hunter2", callback=f"{url}/api/auth/callback/github", url=github.url, allow=allow)

    for url in fresh(postgres_url, template):
        with served(url, provider=provider) as house:
            yield house


@pytest.fixture
def browser(api: Served) -> Iterator[httpx2.Client]:
    api.app.state.by_address = counter_of_addresses()
    with httpx2.Client(base_url=api.url, trust_env=False, timeout=20) as client:
        yield client


def begin(browser: httpx2.Client, **query: str) -> str:
    answer = browser.get("/api/auth/sign-in/social/github", params=query)
    assert answer.status_code == 302, answer.text
    location: str = answer.headers["location"]
    return location


def sign_in(browser: httpx2.Client, github: FakeGitHub, person: dict[str, Any], **query: str) -> httpx2.Response:
    github.user, github.organisations = person, []
    return browser.get(github.authorise(begin(browser, **query)))


def me(browser: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = browser.get("/api/auth/session").json()
    return found


def test_a_person_signs_in_makes_a_job_a_key_and_signs_out(browser: httpx2.Client, github: FakeGitHub) -> None:
    answer = sign_in(browser, github, {"id": 1, "login": "octocat", "name": "Mona"})
    assert answer.status_code == 302
    assert answer.headers["location"] == "/api/auth/session"
    who = me(browser)
    assert (who["role"], who["via"], who["tenants"][0]["name"]) == ("admin", "sign_in", "octocat")
    job = browser.post("/api/v1/jobs", json=JOB, headers=SAME_SITE)
    assert job.status_code == 201
    key = browser.post("/api/auth/api-key/create", json={"name": "ci"}, headers=SAME_SITE).json()
    assert key["userId"] == who["userId"]
    with httpx2.Client(base_url=str(browser.base_url), trust_env=False) as script:
        headers = {"x-api-key": key["key"]}
        assert script.get(f"/api/v1/jobs/{job.json()['id']}", headers=headers).status_code == 200
        by_key = script.get("/api/auth/session", headers=headers).json()
    assert {name: by_key[name] for name in ("userId", "tenantId", "role")} == {
        name: who[name] for name in ("userId", "tenantId", "role")
    }
    entries = browser.get("/api/v1/audit").json()["data"]
    assert [entry["action"] for entry in reversed(entries)] == ["finishSignIn", "createJob", "createApiKey"]
    assert entries[-1]["detail"]["login"] == "octocat"
    assert browser.post("/api/auth/sign-out", headers=SAME_SITE).json() == {"success": True}
    assert browser.get("/api/auth/session").status_code == 401


def test_github_is_asked_with_pkce_and_a_state_and_for_no_more_than_is_needed(
    browser: httpx2.Client, github: FakeGitHub
) -> None:
    location = begin(browser)
    query = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    assert location.startswith(f"{github.url}/login/oauth/authorize?")
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert len(query["state"]) >= 43
    assert query["scope"] == "read:user read:org"  # an organisation is on the list
    assert query["redirect_uri"].endswith("/api/auth/callback/github")


def test_cookies_are_out_of_scripts_and_other_sites_reach(browser: httpx2.Client, github: FakeGitHub) -> None:
    state = browser.get("/api/auth/sign-in/social/github")
    answer = browser.get(github.authorise(state.headers["location"]))
    given = [*state.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")]
    assert [cookie.partition("=")[0] for cookie in given] == ["rubato_state", "rubato_session", "rubato_state"]
    for cookie in given:
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    assert "Max-Age=0" in given[2]


def test_a_state_is_used_once(browser: httpx2.Client, github: FakeGitHub) -> None:
    github.user = {"id": 1, "login": "octocat"}
    back = github.authorise(begin(browser))
    cookies = dict(browser.cookies)
    assert browser.get(back).status_code == 302
    with httpx2.Client(base_url=str(browser.base_url), cookies=cookies, trust_env=False) as again:
        answer = again.get(back)
    assert (answer.status_code, answer.json()["code"]) == (403, "state_used")


def test_a_state_is_worth_nothing_in_another_browser(browser: httpx2.Client, github: FakeGitHub) -> None:
    back = github.authorise(begin(browser))
    with httpx2.Client(base_url=str(browser.base_url), trust_env=False) as other:
        assert other.get(back).json()["code"] == "state_mismatch"
        begin(other)
        assert other.get(back).json()["code"] == "state_mismatch"


def test_an_attempt_ends_after_ten_minutes(api: Served, browser: httpx2.Client, github: FakeGitHub) -> None:
    back = github.authorise(begin(browser))
    execute(api, "UPDATE verifications SET expires_at = now()")
    assert browser.get(back).json()["code"] == "state_used"


def test_a_code_of_another_attempt_is_refused_by_its_challenge(browser: httpx2.Client, github: FakeGitHub) -> None:
    stolen = parse_qs(urlsplit(github.authorise(begin(browser))).query)["code"][0]
    mine = urlsplit(github.authorise(begin(browser)))
    state = parse_qs(mine.query)["state"][0]
    answer = browser.get("/api/auth/callback/github", params={"code": stolen, "state": state})
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_in_refused")


def test_who_says_no_at_github_is_not_signed_in(browser: httpx2.Client) -> None:
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    answer = browser.get("/api/auth/callback/github", params={"error": "access_denied", "state": state})
    assert answer.json()["code"] == "sign_in_refused"
    assert browser.get("/api/auth/session").status_code == 401


@pytest.mark.parametrize(
    ("person", "organisations", "allowed"),
    [
        ({"id": 50, "login": "stranger"}, [], False),
        ({"id": 7, "login": "anything"}, [], True),
        ({"id": 51, "login": "HubOt"}, [], True),
        ({"id": 52, "login": "colleague"}, ["Rubato"], True),
        ({"id": 53, "login": "rubato"}, ["rubato-fans"], False),
        ({"id": 54, "login": "id:7"}, [], False),
        ({"id": 55, "login": "org:rubato"}, [], False),
        ({"id": 56, "login": "*"}, [], False),
    ],
)
def test_the_list_decides_who_may_sign_in(
    browser: httpx2.Client, github: FakeGitHub, person: dict[str, Any], organisations: list[str], allowed: bool
) -> None:
    github.user, github.organisations = person, organisations
    answer = browser.get(github.authorise(begin(browser)))
    assert answer.status_code == (302 if allowed else 403)
    assert allowed or answer.json()["code"] == "not_on_the_list"


def test_a_new_login_name_is_the_same_person_and_an_old_name_is_somebody_else(
    browser: httpx2.Client, github: FakeGitHub
) -> None:
    sign_in(browser, github, {"id": 7, "login": "before"})
    first = me(browser)
    sign_in(browser, github, {"id": 7, "login": "after"})
    assert me(browser)["userId"] == first["userId"]
    members = browser.get("/api/v1/members").json()["data"]
    assert [member["name"] for member in members] == ["after"]
    sign_in(browser, github, {"id": 51, "login": "hubot"})
    assert me(browser)["tenantId"] != first["tenantId"]


def test_signing_in_again_ends_the_token_before(browser: httpx2.Client, github: FakeGitHub) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    before = browser.cookies["rubato_session"]
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    assert browser.cookies["rubato_session"] != before
    with httpx2.Client(base_url=str(browser.base_url), cookies={"rubato_session": before}, trust_env=False) as old:
        assert old.get("/api/auth/session").status_code == 401


@pytest.mark.parametrize(
    "column", ["seen_at = now() - interval '8 days'", "expires_at = now()"], ids=["idle", "absolute"]
)
def test_a_sign_in_ends_idle_or_absolutely(
    api: Served, browser: httpx2.Client, github: FakeGitHub, column: str
) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    assert browser.get("/api/auth/session").status_code == 200
    execute(api, f"UPDATE sign_ins SET {column}")
    assert browser.get("/api/auth/session").status_code == 401


def test_tokens_and_states_are_not_kept(api: Served, browser: httpx2.Client, github: FakeGitHub) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    begin(browser)
    kept = execute(
        api, "SELECT row_to_json(s)::text FROM sign_ins s UNION ALL SELECT row_to_json(v)::text FROM verifications v"
    )
    for secret in (browser.cookies["rubato_session"], browser.cookies["rubato_state"], *github.tokens):
        assert secret not in str(kept)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "OURS"}, 403),
        ({"origin": "OURS"}, 201),
        (SAME_SITE, 201),
    ],
)
def test_a_change_by_cookie_must_come_from_our_own_pages(
    browser: httpx2.Client, github: FakeGitHub, headers: dict[str, str], status: int
) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    sent = {name: value.replace("OURS", str(browser.base_url).rstrip("/")) for name, value in headers.items()}
    answer = browser.post("/api/v1/jobs", json=JOB, headers=sent)
    assert answer.status_code == status
    assert status == 201 or answer.json()["code"] == "cross_site"
    assert browser.get("/api/v1/jobs", headers=sent).status_code == 200


def test_a_bad_key_is_not_made_good_by_a_sign_in(browser: httpx2.Client, github: FakeGitHub) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    assert browser.get("/api/v1/jobs", headers={"x-api-key": "cron_wrong"}).status_code == 401
    assert browser.get("/api/v1/jobs", headers={"x-api-key": ""}).status_code == 401


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "evil"])
def test_no_redirect_leads_away(browser: httpx2.Client, target: str) -> None:
    answer = browser.get("/api/auth/sign-in/social/github", params={"redirect": target})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] == "redirect"


def test_a_script_gets_the_address_and_the_state_goes_on_as_usual(browser: httpx2.Client, github: FakeGitHub) -> None:
    github.user = {"id": 1, "login": "octocat"}
    answer = browser.post("/api/auth/sign-in/social/github", params={"redirect": "/api/v1/jobs"})
    assert answer.json()["redirect"] is True
    assert browser.get(github.authorise(answer.json()["url"])).headers["location"] == "/api/v1/jobs"


def test_github_out_of_reach_is_unavailable_and_the_attempt_is_spent(api: Served, browser: httpx2.Client) -> None:
    state = parse_qs(urlsplit(begin(browser)).query)["state"][0]
    working, broken = (
        api.services.identity.provider,
        GitHub("client", "hunter2", callback="http://127.0.0.1/x", url="http://127.0.0.1:9", allow=["*"]),
    )
    object.__setattr__(api.services.identity, "provider", broken)
    try:
        answer = browser.get("/api/auth/callback/github", params={"code": "c", "state": state})
    finally:
        object.__setattr__(api.services.identity, "provider", working)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_an_invitation_brings_a_second_person_into_the_tenant_once(browser: httpx2.Client, github: FakeGitHub) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    home = me(browser)
    invited = browser.post("/api/v1/members", json={"role": "member", "note": "for hubot"}, headers=SAME_SITE).json()
    token = parse_qs(urlsplit(invited["url"]).query)["invitation"][0]
    with httpx2.Client(base_url=str(browser.base_url), trust_env=False) as other:
        sign_in(other, github, {"id": 51, "login": "hubot"}, invitation=token)
        joined = me(other)
        assert (joined["tenantId"], joined["role"]) == (home["tenantId"], "member")
        assert other.get("/api/v1/members").status_code == 403
        again = sign_in(other, github, {"id": 7, "login": "late"}, invitation=token)
        assert again.json()["code"] == "invitation_not_valid"
        own = next(each["id"] for each in joined["tenants"] if each["id"] != home["tenantId"])
        assert other.post("/api/auth/switch-tenant", json={"tenantId": own}, headers=SAME_SITE).status_code == 200
        assert me(other)["tenantId"] == own
        foreign = other.post("/api/auth/switch-tenant", json={"tenantId": "ten_x"}, headers=SAME_SITE)
        assert foreign.status_code == 404
    removed = browser.delete(f"/api/v1/members/{joined['userId']}", headers=SAME_SITE)
    assert removed.status_code == 204


def test_a_removed_person_is_out_at_once_and_belongs_nowhere(browser: httpx2.Client, github: FakeGitHub) -> None:
    sign_in(browser, github, {"id": 1, "login": "octocat"})
    invited = browser.post("/api/v1/members", json={"role": "admin"}, headers=SAME_SITE).json()
    token = parse_qs(urlsplit(invited["url"]).query)["invitation"][0]
    with httpx2.Client(base_url=str(browser.base_url), trust_env=False) as other:
        sign_in(other, github, {"id": 52, "login": "octocat"}, invitation=token)
        key = other.post("/api/auth/api-key/create", json={}, headers=SAME_SITE).json()["key"]
        user = me(other)["userId"]
        assert other.get("/api/v1/jobs", headers={"x-api-key": key}).status_code == 200
        assert browser.delete(f"/api/v1/members/{user}", headers=SAME_SITE).status_code == 204
        assert other.get("/api/v1/jobs").status_code == 401
        assert other.get("/api/v1/jobs", headers={"x-api-key": key}).status_code == 401


def test_without_a_client_id_there_is_no_sign_in(api: Served, browser: httpx2.Client) -> None:
    working = api.services.identity.provider
    object.__setattr__(api.services.identity, "provider", None)
    try:
        assert browser.get("/api/auth/sign-in/social/github").json()["code"] == "sign_in_off"
    finally:
        object.__setattr__(api.services.identity, "provider", working)
    assert browser.get("/api/auth/session", headers={"x-api-key": KEY}).json()["via"] == "api_key"


def test_an_empty_list_lets_nobody_be_started() -> None:
    with pytest.raises(ConfigurationError, match="RUBATO_GITHUB_ALLOW"):
        GitHub("c", "s", callback="http://127.0.0.1/x", url="https://github.com", allow=[])


def execute(api: Served, statement: str) -> list[Any]:
    async def run() -> list[Any]:
        async with transaction(api.services.accounts._engine) as connection:  # type: ignore[attr-defined]
            done = await connection.execute(text(statement))
            return [tuple(row) for row in done] if done.returns_rows else []  # a Row's own text is cut

    found: list[Any] = api.wait(run())
    return found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/auth/sign-in/social/github"),
        ("POST", "/api/auth/sign-in/social/github"),
        ("GET", "/api/auth/callback/github"),
    ],
)
def test_an_address_begins_so_many_sign_ins_a_minute(browser: httpx2.Client, method: str, path: str) -> None:
    statuses = [browser.request(method, path).status_code for _ in range(OF_AN_ADDRESS.amount)]
    assert 429 not in statuses
    refused = browser.request(method, path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "60"
    assert browser.get("/api/v1/health").status_code == 200
