"""The API's rows of what Rubato promises, over HTTP and PostgreSQL; every docstring begins with its row."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy import text

from api.wire import rfc3339
from tests.integration.apis import JOB, face
from tests.integration.served import KEY, Served, served
from tests.processes import ROOT, Answer, call, clean_environment

LATER = rfc3339(datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def api(database_url: str) -> Iterator[Served]:
    with served(database_url) as house:
        yield house


def ask(api: Served, method: str, path: str, body: Any = None) -> Answer:
    return call(method, f"{api.url}/api/v1{path}", body, key=KEY)


def made(api: Served, **fields: Any) -> dict[str, Any]:
    answer = ask(api, "POST", "/jobs", {**JOB, **fields})
    assert answer.status == 201, answer.body
    job: dict[str, Any] = answer.body
    return job


async def test_r26_the_hundred_and_first_request_of_a_key_in_a_minute_is_429() -> None:
    """R26: the 101st request in a minute is 429; test_api_limits.py measures it under two processes."""
    from tests.integration import test_api_limits

    assert test_api_limits.test_the_hundred_and_first_request_in_a_minute_is_too_many
    async with face(rates=None) as uncounted:
        assert "ratelimit" not in (await uncounted.call("GET", "/api/v1/jobs")).headers


def test_r30_an_error_after_the_insert_leaves_no_row(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """R30: what fails after the insert leaves no row."""

    async def fails(*args: object) -> None:
        raise RuntimeError("after the insert")

    monkeypatch.setattr("rubato.adapters.postgres.store.insert_decisions", fails)
    assert ask(api, "POST", "/jobs", JOB).status == 500
    assert ask(api, "GET", "/jobs").body["data"] == []

    async def rows() -> int:
        async with api.worker._engine.connect() as connection:
            counted: int = (await connection.execute(text("SELECT count(*) FROM jobs"))).scalar_one()
        return counted

    assert api.wait(rows()) == 0


def test_r31_the_document_validates_and_doc_loads_without_the_internet(api: Served) -> None:
    """R31: `/openapi.json` validates; `/doc` loads without the internet: every address in it is this server's."""
    document = call("GET", f"{api.url}/openapi.json").body
    jsonschema_rs.validator_for({"$ref": "#/components/schemas/JobOut", "components": document["components"]})
    page = call("GET", f"{api.url}/doc")
    assert page.status == 200
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.body)
    assert len(loaded) == 4
    for address in loaded:
        assert address.startswith("/doc/static/"), address
        assert call("GET", f"{api.url}{address}").status == 200
    assert "connect-src 'self'" in page.headers["content-security-policy"]


def test_r32_errors_map_to_400_404_and_500_without_internals(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """R32: validation 400, missing 404, unexpected 500 without internals."""

    async def breaks(*args: object, **options: object) -> None:
        raise RuntimeError("password=hunter2")

    assert ask(api, "POST", "/jobs", {"name": "x"}).status == 400
    assert ask(api, "GET", "/jobs/job_none").status == 404
    monkeypatch.setattr(type(api.services.store), "jobs", breaks)
    answer = ask(api, "GET", "/jobs")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "hunter2" not in str(answer.body)
    assert answer.body["requestId"] == answer.headers["x-request-id"]


async def test_r33_configured_origins_only_may_call_with_credentials() -> None:
    """R33: CORS for configured origins only, with credentials."""
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}
    async with face(cors_origins=("https://app.example.com",)) as api:
        for origin, allowed in (("https://app.example.com", True), ("https://evil.example.com", False)):
            asked = await api.call("OPTIONS", "/api/v1/jobs", headers={"origin": origin, **preflight}, key=None)
            answer = await api.call("GET", "/api/v1/jobs", headers={"origin": origin})
            for each in (asked, answer):
                assert each.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert (asked.status_code == 200) is allowed
            assert (answer.headers.get("access-control-allow-credentials") == "true") or not allowed
    async with face() as closed:
        answer = await closed.call("GET", "/api/v1/jobs", headers={"origin": "https://app.example.com"})
        assert "access-control-allow-origin" not in answer.headers


def test_r35_a_job_has_all_fields_and_its_runs_are_paged(api: Served) -> None:
    """R35: full fields; unknown 404; limit and offset page."""
    job = made(api, startAt=LATER)
    shown = ask(api, "GET", f"/jobs/{job['id']}")
    assert shown.body == job
    wanted = (
        "id key name description group labels metadata url method headersJson bodyJson baselineCron timezone "
        "baselineIntervalMs runAt startAt endAt maxRuns minIntervalMs maxIntervalMs timeoutMs overlap catchup delivery "
        "success authority planner storeResponses status version nextRunAt nextRunSource pausedUntil pauseReason pausedBy "
        "failureCount lastRun createdAt updatedAt"
    )
    assert set(wanted.split()) <= set(job)
    for _ in range(3):
        assert ask(api, "POST", f"/jobs/{job['id']}/run").status == 202
    runs = [run["id"] for run in ask(api, "GET", f"/jobs/{job['id']}/runs").body["data"]]
    assert len(runs) == 3
    assert [run["id"] for run in ask(api, "GET", f"/jobs/{job['id']}/runs?limit=1&offset=1").body["data"]] == runs[1:2]
    assert ask(api, "GET", "/jobs/job_none").status == 404
    assert ask(api, "GET", "/jobs/job_none/runs").status == 404


def test_r36_a_patch_changes_what_it_names_and_a_new_schedule_recomputes_the_next_run(api: Served) -> None:
    """R36: listed fields only; a schedule change recomputes the next run."""
    job = made(api, startAt=LATER, description="d")
    renamed = ask(api, "PATCH", f"/jobs/{job['id']}", {"name": "New"}).body
    assert (renamed["name"], renamed["description"], renamed["nextRunAt"]) == ("New", "d", LATER)
    moved = ask(api, "PATCH", f"/jobs/{job['id']}", {"startAt": None}).body
    assert moved["nextRunAt"] < LATER
    assert ask(api, "PATCH", f"/jobs/{job['id']}", {"id": "job_x"}).status == 400


def test_r37_a_deleted_job_is_never_claimed_and_its_history_stays_readable(api: Served) -> None:
    """R37: 204; never claimed again; its history stays readable until retention."""
    ids = api.populate()
    job, run = ids["job_id"], ids["run_id"]
    assert ask(api, "DELETE", f"/jobs/{job}").status == 204
    assert ask(api, "GET", f"/jobs/{job}").status == 404
    claims = api.wait(api.worker.claim("w9", limit=10, lease=timedelta(seconds=5), ahead=timedelta(days=9)))
    assert job not in [claim.ref.job_id for claim in claims.jobs]
    assert run in [each["id"] for each in ask(api, "GET", f"/jobs/{job}/runs").body["data"]]
    assert ask(api, "GET", f"/runs/{run}").body["status"] == "succeeded"


def test_r38_a_paused_job_is_not_claimed_and_resumes_without_a_backlog(api: Served) -> None:
    """R38: no claim until then; resume restores without backlog."""
    job = made(api, baselineIntervalMs=1000, splay=False)
    assert ask(api, "POST", f"/jobs/{job['id']}/pause", {"reason": "a move"}).body["nextRunAt"] is None

    def claimable() -> int:
        claimed = api.worker.claim("w9", limit=10, lease=timedelta(seconds=1), ahead=timedelta(seconds=60))
        return len(api.wait(claimed).jobs)

    assert claimable() == 0
    now = api.wait(api.worker.now())
    resumed = ask(api, "POST", f"/jobs/{job['id']}/resume").body
    assert resumed["nextRunAt"] >= rfc3339(now)
    assert claimable() == 1


def test_r54_the_readmes_curl_lines_answer_as_it_says(api: Served) -> None:
    """R54: the README's curl lines are run by a test; docs/api.md's are in test_documented_sessions.py."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    curls = [block for block in blocks if "curl" in block]
    assert len(curls) >= 3
    answers = []
    for block in curls:
        environment = {**clean_environment(), "RUBATO_API_KEY": KEY, "PATH": os.environ["PATH"]}
        script = block.replace("http://127.0.0.1:3000", api.url).replace("JOB_ID", "job_none")
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    assert "401 Unauthorized" in answers[0]
    assert "201 Created" in answers[1]
    assert '"name":"Order queue"' in answers[2]


async def test_every_answer_carries_the_security_headers() -> None:
    """Data may not be run, framed or sniffed; over TLS browsers are told to stay there."""
    async with face() as api:
        answers = [
            await api.call(method, path, key=key)
            for method, path, key in (
                ("GET", "/api/v1/jobs", "cron_a"),
                ("GET", "/api/v1/jobs", None),
                ("GET", "/nowhere", None),
                ("DELETE", "/api/v1/jobs", "cron_a"),
                ("GET", "/openapi.json", None),
                ("GET", "/doc", None),
                ("GET", "/livez", None),
            )
        ]
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "strict-transport-security" not in answer.headers
        over_tls = await api.call("GET", "https://127.0.0.1:3000/livez")
        assert over_tls.headers["strict-transport-security"].startswith("max-age=")
