"""What holds on every route: keys, tenants, problems, media types, parameters, the OpenAPI document."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.entities import HintKind
from core.errors import Unavailable
from core.sessions import Proposal
from tests.integration.apis import Face, face


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "cron_a"},
        {"authorization": "Bearer cron_a"},
        {"authorization": "bearer cron_a"},
        {"authorization": "x-api-key cron_a"},
    ],
)
async def test_a_key_is_taken_in_three_ways(api: Face, headers: dict[str, str]) -> None:
    assert (await api.call("GET", "/api/v1/jobs", key=None, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "cron_wrong"},
        {"x-api-key": ""},
        {"authorization": "Basic cron_a"},
        {"authorization": "cron_a"},
        {"x-api-key": "cron_wrong", "authorization": "Bearer cron_a"},
    ],
)
async def test_everything_else_is_401_and_does_not_say_why(api: Face, headers: dict[str, str]) -> None:
    answer = await api.call("GET", "/api/v1/jobs", key=None, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/v1/jobs/job_none", 404, "not_found"),
        ("PUT", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs?page=2", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?limit=0", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?limit=x", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?cursor=@@@", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?status=sleeping", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?label=nocolon", 400, "invalid_input"),
        ("GET", "/api/v1/runs?since=yesterday", 400, "invalid_input"),
        ("GET", "/api/v1/runs?since=2026-01-01T00:00:00", 400, "invalid_input"),
        ("GET", "/api/v1/runs?offset=-1", 400, "invalid_input"),
        ("GET", "/api/v1/hints?state=dead", 400, "invalid_input"),
        ("GET", "/api/v1/jobs?key=%00", 400, "invalid_input"),
        ("GET", "/api/v1/jobs/%00", 404, "not_found"),
        ("GET", "/api/v1/sessions/a%00b", 404, "not_found"),
    ],
)
async def test_every_error_is_a_problem(api: Face, method: str, path: str, status: int, code: str) -> None:
    answer = await api.call(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "requestId"} <= set(answer.json())


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        ('{"name":', "application/json", 400),
        ("", "application/json", 400),
        ("[]", "application/json", 400),
        ('"text"', "application/json", 400),
        ("name=x", "application/x-www-form-urlencoded", 415),
        ("{}", "text/plain", 415),
        ("{}", "application/merge-patch+json", 415),
        (b"\xff\xfe", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"name":"' + "x" * 1_100_000 + '"}', "application/json", 413),
    ],
)
async def test_a_body_that_is_no_job_is_refused(api: Face, content: Any, media_type: str, status: int) -> None:
    answer = await api.call("POST", "/api/v1/jobs", content=content, headers={"content-type": media_type})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unexpected_error_says_nothing_but_its_id(api: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(*args: object, **options: object) -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(type(api.store), "jobs", explode)
    answer = await api.call("GET", "/api/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.json()["requestId"]


async def test_a_database_that_is_away_is_503_with_a_time_to_retry(api: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*args: object, **options: object) -> None:
        raise Unavailable("host 10.1.2.3 does not answer")

    monkeypatch.setattr(type(api.store), "now", away)
    answer = await api.call("GET", "/api/v1/jobs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "10.1.2.3" not in answer.text
    assert (await api.call("GET", "/readyz")).status_code == 503
    assert (await api.call("GET", "/livez")).status_code == 200
    assert (await api.call("GET", "/api/v1/health", key=None)).json()["status"] == "ok"


async def test_health_needs_no_key_and_tells_the_time(api: Face) -> None:
    answer = await api.call("GET", "/api/v1/health", key=None)
    assert answer.status_code == 200
    assert answer.json()["timestamp"].endswith("Z")
    assert (await api.call("GET", "/readyz", key=None)).json() == {"status": "ok"}


async def test_metrics_are_open_on_loopback_and_want_a_key_elsewhere() -> None:
    async with face() as near:
        await near.job()
        await near.run_due()
        text = (await near.call("GET", "/metrics", key=None)).text
        for name in (
            'rubato_runs_total{outcome="succeeded",trigger="scheduled"} 1.0',
            "rubato_jobs_claimed_total 1.0",
            "rubato_run_duration_seconds_bucket",
            "rubato_due_jobs 0.0",
            'rubato_http_request_duration_seconds_count{code_class="2xx",method="POST",route="/api/v1/jobs"} 1.0',
        ):
            assert name in text
    async with face(client_host="192.0.2.7") as far:
        assert (await far.call("GET", "/metrics", key=None)).status_code == 401
        assert (await far.call("GET", "/metrics")).status_code == 200
    async with face(client_host="192.0.2.7", metrics_public=True) as public:
        assert (await public.call("GET", "/metrics", key=None)).status_code == 200


async def test_hints_explanations_forecasts_and_simulations_tell_one_story(api: Face) -> None:
    job = await api.job(minIntervalMs=10_000)
    await api.run_due()
    path = f"/api/v1/jobs/{job['id']}"
    wish = {"kind": "interval", "intervalMs": 1000, "ttlMs": 600_000, "reason": "looking closely"}
    simulated = (await api.call("POST", f"{path}/simulate-hint", wish)).json()
    assert simulated["before"]["source"] == "baseline_interval"
    assert simulated["after"]["source"] == "hint_interval"
    assert (await api.call("GET", f"{path}/hints")).json()["data"] == []
    hint = (await api.call("POST", f"{path}/hints", wish)).json()
    assert (hint["state"], hint["author"], hint["ttlMs"]) == ("active", "user", 600_000)
    explained = (await api.call("GET", f"{path}/explanation")).json()
    assert explained["nextRunAt"] == simulated["after"]["nextRunAt"] == hint["applied"]
    assert (explained["source"], explained["hintId"]) == ("hint_interval", hint["id"])
    assert [clamp["bound"] for clamp in explained["clamps"]] == ["min_interval"]
    assert {candidate["source"] for candidate in explained["candidates"]} == {"hint_interval", "baseline_interval"}
    assert explained["bounds"] == {"minIntervalMs": 10_000, "maxIntervalMs": 1_920_000, "minimumFrom": "min_interval"}
    assert explained["baseline"] == {"baselineIntervalMs": 60_000}
    assert (await api.call("GET", path)).json()["nextRunAt"] == explained["nextRunAt"]
    forecast = (await api.call("GET", f"{path}/forecast?hours=1&limit=3")).json()
    assert forecast["data"][0] == {"at": explained["nextRunAt"], "source": "hint_interval", "hintId": hint["id"]}
    assert forecast["truncated"] is True
    assert (await api.call("DELETE", f"{path}/hints/{hint['id']}")).status_code == 204
    assert (await api.call("DELETE", f"{path}/hints/{hint['id']}")).status_code == 404
    assert (await api.call("GET", f"{path}/explanation")).json()["source"] == "baseline_interval"
    ended = (await api.call("GET", f"{path}/hints?state=all")).json()["data"]
    assert [each["state"] for each in ended] == ["cleared"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "interval"}, "/intervalMs"),
        ({"kind": "next_time"}, "/at"),
        ({"kind": "nap"}, "/kind"),
        ({"kind": "interval", "intervalMs": 5000, "at": "2099-01-01T00:00:00Z"}, "/at"),
        ({"kind": "next_time", "at": "2020-01-01T00:00:00Z"}, "/at"),
        ({"kind": "next_time", "at": "2099-01-01T00:00:00Z", "ttlMs": 1000}, "/ttlMs"),
        ({"kind": "interval", "intervalMs": 0}, "/intervalMs"),
        ({"kind": "interval", "intervalMs": 5000, "author": "planner"}, "/author"),
    ],
)
async def test_a_bad_hint_is_refused(api: Face, body: Any, pointer: str) -> None:
    job = await api.job()
    answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/hints", body)
    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}/hints?state=all")).json()["data"] == []


async def test_asking_the_planner_returns_its_session(api: Face) -> None:
    job = await api.job()
    await api.run_due()
    api.planner.script.append([Proposal(HintKind.INTERVAL, "why", "c", **_interval())])
    session = (await api.call("POST", f"/api/v1/jobs/{job['id']}/plan")).json()
    assert (session["outcome"], session["tokens"]["total"], len(session["hintIds"])) == ("completed", 12, 1)
    assert (await api.call("GET", f"/api/v1/sessions/{session['id']}")).json()["id"] == session["id"]
    await api.call("PATCH", f"/api/v1/jobs/{job['id']}", {"planner": "off"})
    refused = await api.call("POST", f"/api/v1/jobs/{job['id']}/plan")
    assert (refused.status_code, refused.json()["code"]) == (409, "planner_off")


async def test_cors_is_for_configured_origins_only() -> None:
    async with face(cors_origins=("https://ui.example",)) as api:
        good = await api.call("GET", "/api/v1/jobs", headers={"origin": "https://ui.example"})
        assert good.headers["access-control-allow-origin"] == "https://ui.example"
        assert good.headers["access-control-allow-credentials"] == "true"
        bad = await api.call("GET", "/api/v1/jobs", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in bad.headers


def _interval() -> dict[str, Any]:
    from datetime import timedelta

    return {"interval": timedelta(seconds=20), "ttl": timedelta(minutes=5)}
