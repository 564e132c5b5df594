"""Changes that are only rehearsed, held to a version, made by key, or made to many jobs at once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.wire import rfc3339
from core.entities import Limits
from tests.integration.apis import JOB, Face, face
from tests.unit.loop import interval_proposal

LATER = rfc3339(datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def everything(api: Face, job: dict[str, Any]) -> list[Any]:
    """Return all there is to see of a job."""
    paths = ("", "/runs", "/hints?state=all", "/versions", "/explanation")
    seen = [(await api.call("GET", f"/api/v1/jobs/{job['id']}{path}")).json() for path in paths]
    seen[-1].pop("now")
    return seen


async def test_registering_can_be_rehearsed(api: Face) -> None:
    would = await api.call("POST", "/api/v1/jobs?validateOnly=true", {**JOB, "startAt": LATER})
    assert would.status_code == 200
    assert would.json()["nextRuns"][0] == would.json()["nextRunAt"] == LATER
    assert len(would.json()["nextRuns"]) == 5
    assert would.json()["nextRuns"] == sorted(would.json()["nextRuns"])
    assert await api.count_jobs() == 0


async def test_the_runs_that_were_promised_are_those_of_the_forecast(api: Face) -> None:
    job = await api.job(startAt=LATER)
    patch = {"baselineIntervalMs": 90_000}
    would = (await api.call("PATCH", f"/api/v1/jobs/{job['id']}?validateOnly=true", patch)).json()
    assert (would["version"], would["baselineIntervalMs"]) == (2, 90_000)
    await api.call("PATCH", f"/api/v1/jobs/{job['id']}", patch)
    forecast = (await api.call("GET", f"/api/v1/jobs/{job['id']}/forecast")).json()["data"]
    assert [item["at"] for item in forecast[:5]] == would["nextRuns"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/jobs/{job}", {"name": "other"}),
        ("PUT", "/jobs/by-key/k", {**JOB, "name": "other"}),
        ("DELETE", "/jobs/{job}", None),
        ("POST", "/jobs/{job}/pause", {"reason": "x"}),
        ("POST", "/jobs/{job}/pause", {"until": LATER}),
        ("POST", "/jobs/{job}/resume", None),
        ("POST", "/jobs/{job}/run", None),
        ("POST", "/jobs/{job}/test", None),
        ("POST", "/jobs/{job}/plan", None),
        ("POST", "/jobs/{job}/hints", {"kind": "interval", "intervalMs": 5000}),
        ("DELETE", "/jobs/{job}/hints", None),
        ("DELETE", "/jobs/{job}/hints/{hint}", None),
        ("POST", "/runs/{run}/cancel", None),
        ("POST", "/jobs:bulk", {"action": "pause", "filter": {}}),
        ("POST", "/jobs:bulk", {"action": "run", "filter": {"key": "k"}}),
    ],
)
async def test_every_change_can_be_rehearsed_and_then_changes_nothing(
    api: Face, method: str, path: str, body: Any
) -> None:
    job = await api.job(key="k")
    await api.run_due()
    api.planner.script.append([interval_proposal(30)])
    await api.plans.run_once()
    run = (await api.call("POST", f"/api/v1/jobs/{job['id']}/run")).json()
    hint = (await api.call("GET", "/api/v1/hints")).json()["data"][0]
    before, sessions = await everything(api, job), (await api.call("GET", "/api/v1/sessions")).json()
    path = path.format(job=job["id"], hint=hint["id"], run=run["id"])
    would = await api.call(method, f"/api/v1{path}?validateOnly=true", body)
    assert would.status_code == 200, would.text
    stopped = (method == "DELETE" and path.endswith(job["id"])) or body in (
        {"reason": "x"},
        {"action": "pause", "filter": {}},
    )
    assert len(would.json()["nextRuns"]) == (0 if stopped else 5)
    assert await everything(api, job) == before
    assert (await api.call("GET", "/api/v1/sessions")).json() == sessions


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/jobs", {**JOB, "name": ""}, 400),
        ("POST", "/jobs", {**JOB, "key": "k"}, 409),
        ("POST", "/jobs", {**JOB, "url": "http://10.0.0.1/"}, 400),
        ("PATCH", "/jobs/{other}", {"key": "k"}, 409),
        ("PATCH", "/jobs/job_none", {}, 404),
        ("POST", "/runs/run_none/cancel", None, 404),
        ("POST", "/jobs/{job}/hints", {"kind": "interval"}, 400),
    ],
)
async def test_a_rehearsal_refuses_what_the_change_would(
    api: Face, method: str, path: str, body: Any, status: int
) -> None:
    job, other = await api.job(key="k"), await api.job()
    path = f"/api/v1{path.format(job=job['id'], other=other['id'])}"
    rehearsed = await api.call(method, f"{path}?validateOnly=true", body)
    real = await api.call(method, path, body)
    assert (
        (rehearsed.status_code, rehearsed.json()["code"])
        == (status, real.json()["code"])
        == (
            real.status_code,
            real.json()["code"],
        )
    )


async def test_a_tenant_registers_no_more_jobs_than_its_row_allows(api: Face) -> None:
    api.store.add_tenant("ten_a", Limits(max_jobs=1))
    job = await api.job()
    for path in ("/api/v1/jobs", "/api/v1/jobs?validateOnly=true"):
        refused = await api.call("POST", path, JOB)
        assert (refused.status_code, refused.json()["code"]) == (403, "jobs_limit_reached")
    jobs = next(each for each in (await api.call("GET", "/api/v1/quota")).json()["limits"] if each["name"] == "jobs")
    assert (jobs["limit"], jobs["used"]) == (1, 1)
    await api.call("DELETE", f"/api/v1/jobs/{job['id']}")
    assert (await api.call("POST", "/api/v1/jobs", JOB)).status_code == 201


@pytest.mark.parametrize(
    ("if_match", "status"),
    [('"1"', 200), ("*", 200), ('"7", "1"', 200), ('"2"', 412), ('W/"1"', 412), ('"one"', 412), ("1", 400), ("", 400)],
)
async def test_a_change_is_held_to_the_version_it_names(api: Face, if_match: str, status: int) -> None:
    job = await api.job(key="k")
    for method, path, body in (
        ("POST", f"/api/v1/jobs/{job['id']}/pause", None),
        ("POST", f"/api/v1/jobs/{job['id']}/resume", None),
        ("PUT", "/api/v1/jobs/by-key/k", {**JOB, "splay": False}),
        ("PATCH", f"/api/v1/jobs/{job['id']}", {"name": "New"}),
    ):
        answer = await api.call(method, path, body, headers={"if-match": if_match})
        assert answer.status_code == status, answer.text
    version = (await api.call("GET", f"/api/v1/jobs/{job['id']}")).json()["version"]
    assert version == (2 if status == 200 else 1)


async def test_a_job_is_put_by_its_key(api: Face) -> None:
    path = "/api/v1/jobs/by-key/daily%2Freport"
    made = await api.call("PUT", path, JOB)
    assert (made.status_code, made.json()["key"]) == (201, "daily/report")
    assert made.headers["location"] == f"/api/v1/jobs/{made.json()['id']}"
    same = await api.call("PUT", path, {**JOB, "key": "daily/report"})
    assert (same.status_code, same.json()) == (200, made.json())
    changed = await api.call("PUT", path, {"name": "n", "url": "https://example.org", "baselineCron": "0 0 * * *"})
    assert (changed.status_code, changed.json()["id"], changed.json()["version"]) == (200, made.json()["id"], 2)
    assert (changed.json()["baselineIntervalMs"], changed.json()["catchup"]) == (None, "skip")
    refused = await api.call("PUT", path, {**JOB, "key": "another"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/key")
    absent = await api.call("PUT", "/api/v1/jobs/by-key/new", JOB, headers={"if-match": '"1"'})
    assert absent.status_code == 412
    assert await api.count_jobs() == 1


async def test_many_jobs_are_changed_by_filter(api: Face) -> None:
    mine = [await api.job(group="g", labels={"team": "a"}, startAt=LATER) for _ in range(3)]
    other = await api.job(group="other", startAt=LATER)
    where = {"group": "g", "labels": {"team": "a"}}
    paused = await api.call("POST", "/api/v1/jobs:bulk", {"action": "pause", "filter": where, "reason": "a move"})
    assert paused.json() == {"action": "pause", "matched": 3, "changed": 3, "failed": []}
    assert (await api.call("GET", "/api/v1/jobs?status=paused")).json()["data"][0]["pauseReason"] == "a move"
    refused = (await api.call("POST", "/api/v1/jobs:bulk", {"action": "run", "filter": {}})).json()
    assert (refused["matched"], refused["changed"]) == (4, 1)
    assert {each["jobId"]: each["code"] for each in refused["failed"]} == {job["id"]: "job_not_active" for job in mine}
    resumed = (await api.call("POST", "/api/v1/jobs:bulk", {"action": "resume", "filter": {"status": "paused"}})).json()
    assert (resumed["matched"], resumed["changed"]) == (3, 3)
    runs = (await api.call("GET", "/api/v1/runs")).json()["data"]
    assert [(run["jobId"], run["trigger"]) for run in runs] == [(other["id"], "manual")]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "pause"},
        {"action": "stop", "filter": {}},
        {"action": "run", "filter": {"colour": "red"}},
        {"action": "run", "filter": {}, "until": LATER},
        {"action": "run", "filter": {"labels": ["a:b"]}},
        {"filter": {}},
    ],
)
async def test_a_bad_bulk_request_is_refused(api: Face, body: Any) -> None:
    assert (await api.call("POST", "/api/v1/jobs:bulk", body)).status_code == 400


async def test_usage_counts_runs_sessions_and_tokens(api: Face) -> None:
    await api.job()
    await api.run_due()
    await api.plans.run_once()
    used = (await api.call("GET", "/api/v1/usage")).json()
    assert used["total"]["runs"]["succeeded"] == 1
    assert (used["total"]["sessions"], used["total"]["inputTokens"], used["total"]["outputTokens"]) == (1, 10, 2)
    assert [day["date"] for day in used["data"]] == [datetime.now(UTC).date().isoformat()]
    assert (await api.call("GET", "/api/v1/usage?from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z")).status_code == 400


@pytest.mark.parametrize("changed", ["last", "first"])
async def test_a_cursor_that_was_changed_or_made_up_is_refused(api: Face, changed: str) -> None:
    for _ in range(3):
        await api.job()
    cursor = (await api.call("GET", "/api/v1/jobs?limit=1")).json()["nextCursor"]
    flipped = {"A": "B"}
    bad = cursor[:-2] + flipped.get(cursor[-2], "A") + cursor[-1] if changed == "last" else "A" + cursor[1:]
    assert bad != cursor
    assert (await api.call("GET", f"/api/v1/jobs?limit=1&cursor={cursor}")).status_code == 200
    for path in (
        f"/api/v1/jobs?cursor={bad}",
        f"/api/v1/jobs?status=paused&cursor={cursor}",
        f"/api/v1/runs?cursor={cursor}",
    ):
        assert (await api.call("GET", path)).json()["errors"][0]["code"] == "invalid_cursor"
    assert (await api.call("GET", f"/api/v1/jobs?cursor={cursor}", key="cron_b")).status_code == 400
