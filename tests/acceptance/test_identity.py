"""Identity as an operator runs it: processes, logins of their own, a GitHub on loopback. Docstrings begin with the row."""

import asyncio
import subprocess
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
import pytest

from core.errors import ConfigurationError
from rubato.adapters.vault import new_encryption_key
from rubato.settings import load
from tests.acceptance.conftest import KEY, System, environment
from tests.fake_github import fake_github
from tests.processes import call, clean_environment, free_port, rubato, running, serves, target, wait_for

JOB = {"name": "Test Job", "url": "https://example.com", "baselineIntervalMs": 60000}
SAME_SITE = {"sec-fetch-site": "same-origin"}


def ended(*args: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    whole = {**clean_environment(), **env}
    return subprocess.run(rubato(*args), cwd=cwd, env=whole, capture_output=True, text=True, timeout=60, check=False)


def test_r22_a_short_or_missing_secret_does_not_start(tmp_path: Path) -> None:
    """R22: under 32 characters is refused by the settings; production without a secret or a key is refused at start."""
    with pytest.raises(ConfigurationError, match="shorter than 32"):
        load({"RUBATO_ENV": "production", "RUBATO_SECRET": "x" * 31})
    production = environment("postgresql://x@127.0.0.1:1/x", free_port())
    for missing, command in (
        ("RUBATO_SECRET", "api"),
        ("RUBATO_ENCRYPTION_KEYS", "api"),
        ("RUBATO_ENCRYPTION_KEYS", "worker"),
    ):
        env = {name: value for name, value in production.items() if name != missing}
        end = ended(command, cwd=tmp_path, **env)
        assert end.returncode == 2
        assert f"{missing} is not set" in end.stderr


def test_r23_r25_r27_a_person_signs_in_and_their_key_is_the_same_user(database_url: str, tmp_path: Path) -> None:
    """R23: sign-in redirects, the callback makes user, tenant and cookie, and POST /jobs is 201. R25: keys are made,
    listed, changed, deleted. R27: cookie and key give the same user and tenant; without a tenant it is a 401."""
    port = free_port()
    with fake_github() as github, ExitStack() as stack:
        env = {
            **environment(database_url, port),
            "RUBATO_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "GITHUB_CLIENT_ID": "client",
            "GITHUB_CLIENT_SECRET": "hunter2",
            "RUBATO_GITHUB_ALLOW": "octocat",
            "RUBATO_GITHUB_URL": github.url,
        }
        api = stack.enter_context(running(rubato("api"), tmp_path / "api", env, tmp_path))
        wait_for("the API to serve", serves(f"http://127.0.0.1:{port}/readyz"))
        browser = stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False))
        begun = browser.get("/api/auth/sign-in/social/github")
        assert browser.get(github.authorise(begun.headers["location"])).status_code == 302
        assert browser.post("/api/v1/jobs", json=JOB, headers=SAME_SITE).status_code == 201
        made = browser.post("/api/auth/api-key/create", json={"name": "ci"}, headers=SAME_SITE)
        assert made.status_code == 201
        key = made.json()
        with_key = {"x-api-key": key["key"]}
        one, other = (
            browser.get("/api/auth/session").json(),
            httpx2.get(f"http://127.0.0.1:{port}/api/auth/session", headers=with_key, trust_env=False).json(),
        )
        assert (one["userId"], one["tenantId"]) == (other["userId"], other["tenantId"])
        renamed = browser.post("/api/auth/api-key/update", json={"keyId": key["id"], "name": "cd"}, headers=SAME_SITE)
        assert renamed.json()["name"] == "cd"
        (listed,) = browser.get("/api/auth/api-key/list").json()
        assert "key" not in listed
        gone = browser.post("/api/auth/api-key/delete", json={"keyId": key["id"]}, headers=SAME_SITE)
        assert gone.json() == {"success": True}
        assert httpx2.get(f"http://127.0.0.1:{port}/api/v1/jobs", headers=with_key, trust_env=False).status_code == 401
        written = api.output()
    for secret in ("hunter2", key["key"], browser.cookies["rubato_session"], *github.tokens):
        assert secret not in written


def test_r24_a_key_opens_and_none_wrong_expired_or_revoked_does_not(system: System) -> None:
    """R24: with a key 201; with none, an unknown, an expired or a revoked one 401."""
    assert system.api("POST", "/jobs", JOB).status == 201
    assert system.api("POST", "/jobs", JOB, key=None).status == 401
    assert system.api("POST", "/jobs", JOB, key="cron_unknown").status == 401


def test_r26_a_key_has_prefix_metadata_expiry_and_counted_uses(system: System) -> None:
    """R26: `cron_`, metadata, expiry, remaining uses with refills. The 101st request: tests/acceptance/test_api_rows.py."""
    wishes = {
        "metadata": {"team": "a"},
        "expiresIn": 3600,
        "remaining": 1,
        "refillAmount": 5,
        "refillIntervalMs": 60_000,
    }
    made = call("POST", f"{system.url}/api/auth/api-key/create", wishes, key=KEY)
    assert made.status == 201
    assert made.body["key"].startswith("cron_")
    assert made.body["metadata"] == {"team": "a"}
    assert made.body["expiresAt"] is not None
    assert [system.api("GET", "/jobs", key=made.body["key"]).status for _ in range(2)] == [200, 429]


def test_r28_another_tenants_job_is_not_there(system: System, tmp_path: Path) -> None:
    """R28: another tenant's id is a 404. Every route and everybody: tests/integration/test_isolation.py."""
    job = system.api("POST", "/jobs", JOB).body
    other = ended("admin", "create-key", "--tenant", "other", cwd=tmp_path, **system.env).stdout.strip()
    for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/runs", f"/jobs/{job['id']}/explanation"):
        assert system.api("GET", path, key=other).status == 404
    assert system.api("GET", "/jobs", key=other).body["data"] == []


def test_r29_the_operator_makes_keys_and_rotates_secrets_at_the_command_line(system: System, tmp_path: Path) -> None:
    """R29: accounts, users, sign-ins, keys and verifications are tables by migration; the operator's errands use them."""
    made = ended("admin", "create-key", "--tenant", "default", cwd=tmp_path, **system.env)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert system.api("GET", "/members", key=key).status == 200
    other = ended("admin", "create-key", "--tenant", "another", cwd=tmp_path, **system.env).stdout.strip()
    assert system.api("GET", "/tenant", key=other).body["name"] == "another"
    secret = {**JOB, "secretHeaders": {"Authorization": "Bearer hunter2hunter2"}}
    job = system.api("POST", "/jobs", {**secret, "url": f"{system.target.url}/", "splay": False}).body
    fresh = ended("admin", "new-encryption-key", cwd=tmp_path).stdout.strip()
    both = {**system.env, "RUBATO_ENCRYPTION_KEYS": f"{fresh},{system.env['RUBATO_ENCRYPTION_KEYS']}"}
    rotated = ended("admin", "rotate-secrets", cwd=tmp_path, **both)
    assert rotated.stdout.strip() == "1 versions hold secrets; 1 were sealed anew, 0 could not be opened."
    system.start("worker", RUBATO_ENCRYPTION_KEYS=fresh)
    wait_for("the run", lambda: system.runs(job)[:1] and system.runs(job)[0]["status"] == "succeeded")
    assert system.target.seen[0][2]["authorization"] == "Bearer hunter2hunter2"
    lost = ended("admin", "rotate-secrets", cwd=tmp_path, **{**both, "RUBATO_ENCRYPTION_KEYS": new_encryption_key()})
    assert lost.returncode == 1
    assert "RUBATO_ENCRYPTION_KEYS" in lost.stderr


def test_api_and_worker_need_no_more_than_logins_of_their_own(database_url: str, tmp_path: Path) -> None:
    """Logins that are members of their roles and own nothing; the API's cannot become a worker."""
    port, name = free_port(), urlsplit(database_url).path.removeprefix("/")
    logins = {f"{name}_api": "rubato_tenant, rubato_identity", f"{name}_worker": "rubato_engine"}

    async def prepare(*statements: str) -> None:
        connection = await asyncpg.connect(database_url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(prepare(*(f"CREATE ROLE {login} LOGIN PASSWORD 'a-test-password'" for login in logins)))
    asyncio.run(prepare(*(f"GRANT {roles} TO {login}" for login, roles in logins.items())))
    api_url, worker_url = (_as(database_url, login) for login in logins)
    try:
        with ExitStack() as stack:
            served = stack.enter_context(target())
            system = System(f"http://127.0.0.1:{port}", environment(api_url, port), tmp_path, served, stack)
            system.start("api")
            wait_for("the API to serve", serves(f"{system.url}/readyz"))
            job = system.register(baselineIntervalMs=3_600_000)
            system.start("worker", DATABASE_URL=worker_url)
            wait_for("the run", lambda: system.runs(job)[:1] and system.runs(job)[0]["status"] == "succeeded")
            assert system.api("GET", "/members", key=KEY).status == 200
            refused = ended("worker", cwd=tmp_path, **{**system.env, "RUBATO_WORKER_PORT": str(free_port())})
            assert refused.returncode == 2
            assert "may not act as rubato_engine" in refused.stderr
    finally:
        asyncio.run(prepare(*(f"DROP ROLE {login}" for login in logins)))


def _as(url: str, login: str) -> str:
    parts = urlsplit(url)
    place = f"{login}:a-test-password@{parts.hostname}:{parts.port}"
    return urlunsplit((parts.scheme, place, parts.path, parts.query, ""))
