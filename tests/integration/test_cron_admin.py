"""The cron administration: nine routes and the targets, for admins only, over the engine that runs everything else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.apis import Face, face

BASE = "/api/v2/admin/cron"
JOB = {"key": "daily", "target": "reports.daily", "payload": {"region": "north"}, "baselineCron": "*/5 * * * *"}


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def call(api: Face, method: str, path: str, json: Any = None, *, expect: int = 200, **options: Any) -> Any:
    answer = await api.call(method, BASE + path, json, **options)
    assert answer.status_code == expect, answer.text
    return answer.json()


async def registered(api: Face, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = await call(api, "POST", "/jobs", {**JOB, **fields}, expect=201)
    return made


def soon(seconds: float = 0.0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def runs(api: Face, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await call(api, "GET", f"/runs{query}"))["data"]
    return found


async def test_a_definition_is_registered_and_read_back(api: Face) -> None:
    answer = await api.call("POST", f"{BASE}/jobs", JOB)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{BASE}/jobs/{made['id']}"
    assert (made["key"], made["version"], made["status"], made["scheduleType"]) == ("daily", 1, "active", "recurring")
    assert (made["target"], made["payload"]) == ("reports.daily", {"region": "north"})
    assert (made["planner"], made["overlap"], made["catchup"], made["timezone"]) == ("off", "skip", "skip", "UTC")
    assert made["nextRunAt"] is not None
    read = await call(api, "GET", f"/jobs/{made['id']}")
    assert {name: read[name] for name in made} == made
    assert [(each["what"], each["version"], each["actor"]) for each in read["history"]] == [
        ("registration", 1, "usr_a")
    ]


async def test_the_older_names_of_key_and_expression_are_taken_too(api: Face) -> None:
    body = {"jobKey": "old", "target": "reports.daily", "payload": {"region": "x"}, "cronExpression": "0 * * * *"}
    made = await call(api, "POST", "/jobs", {**body, "scheduleType": "recurring"}, expect=201)
    assert (made["key"], made["baselineCron"]) == ("old", "0 * * * *")
    twice = await call(api, "POST", "/jobs", {**body, "key": "new"}, expect=400)
    assert "jobKey and key are the same field" in twice["detail"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"target": "reports.dayly"}, "not a registered target; known: reports.daily, system.log_message"),
        ({"target": "system.purge_runs", "payload": {}}, "not a registered target"),
        ({"target": None}, "target is required"),
        ({"key": None}, "key is required"),
        ({"baselineCron": None}, "baselineCron or runAt is required"),
        ({"baselineCron": None, "scheduleType": "one_time"}, "runAt is required"),
        ({"runAt": "2099-01-01T00:00:00Z"}, "give one of baselineCron"),
        ({"scheduleType": "one_time"}, "takes runAt, not baselineCron"),
        ({"baselineCron": "*/5 * * *"}, "has 4 fields"),
        ({"payload": {"region": "north", "days": "few"}}, "days: Input should be a valid integer"),
        ({"payload": None}, "region: Field required"),
        ({"baselineCron": None, "runAt": "2020-01-01T00:00:00Z"}, "in the past"),
        ({"url": "https://example.com"}, "not a field here"),
        ({"overlap": "queue"}, "overlap"),
    ],
)
async def test_what_cannot_be_registered_is_a_400_that_says_why(api: Face, fields: Any, words: str) -> None:
    problem = await call(api, "POST", "/jobs", {**JOB, **fields}, expect=400)
    assert words in problem["detail"]
    assert problem["errors"]


async def test_a_key_is_taken_once(api: Face) -> None:
    await registered(api)
    assert (await call(api, "POST", "/jobs", JOB, expect=409))["code"] == "key_taken"


@pytest.mark.parametrize("length", [4, 301])
async def test_a_pause_reason_of_another_length_is_refused(api: Face, length: int) -> None:
    made = await registered(api)
    problem = await call(api, "PATCH", f"/jobs/{made['id']}/pause", {"reason": "x" * length}, expect=400)
    assert problem["errors"][0]["pointer"] == "/reason"
    await call(api, "PATCH", f"/jobs/{made['id']}/pause", {}, expect=400)


@pytest.mark.parametrize("length", [5, 300])
async def test_a_pause_reason_is_kept_and_shown(api: Face, length: int) -> None:
    made = await registered(api)
    paused = await call(api, "PATCH", f"/jobs/{made['id']}/pause", {"reason": "x" * length})
    assert (paused["status"], paused["pauseReason"], paused["nextRunAt"]) == ("paused", "x" * length, None)
    detail = await call(api, "GET", f"/jobs/{made['id']}")
    assert (detail["history"][0]["what"], detail["history"][0]["reason"]) == ("pause", "x" * length)


async def test_resuming_fires_again_and_replays_nothing(api: Face) -> None:
    made = await registered(api, baselineCron="* * * * * *")
    await call(api, "PATCH", f"/jobs/{made['id']}/pause", {"reason": "a migration"})
    before = await runs(api)
    await asyncio.sleep(1.1)
    resumed = await call(api, "PATCH", f"/jobs/{made['id']}/resume")
    assert resumed["status"] == "active"
    assert resumed["nextRunAt"] > soon().replace("+00:00", "Z")
    assert await runs(api) == before
    assert (await call(api, "PATCH", f"/jobs/{made['id']}/resume"))["status"] == "active"


async def test_a_new_version_retires_the_one_before_in_one_step(api: Face) -> None:
    first = await registered(api)
    second = await call(
        api,
        "POST",
        f"/jobs/{first['id']}/new-version",
        {"payload": {"region": "south"}, "baselineCron": "0 * * * *"},
        expect=201,
    )
    assert (second["version"], second["status"], second["key"]) == (2, "active", "daily")
    assert (second["target"], second["payload"], second["baselineCron"]) == (
        "reports.daily",
        {"region": "south"},
        "0 * * * *",
    )
    old = await call(api, "GET", f"/jobs/{first['id']}")
    assert (old["version"], old["status"], old["payload"], old["nextRunAt"]) == (
        1,
        "retired",
        {"region": "north"},
        None,
    )
    assert [(each["what"], each["changed"]) for each in old["history"]] == [
        ("edit", ["action", "baseline"]),
        ("registration", []),
    ]
    listed = (await call(api, "GET", "/jobs"))["data"]
    assert [(each["id"], each["status"]) for each in listed] == [(second["id"], "active"), (first["id"], "retired")]


async def test_a_new_version_comes_from_the_latest_only(api: Face) -> None:
    first = await registered(api)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {}, expect=201)
    problem = await call(api, "POST", f"/jobs/{first['id']}/new-version", {}, expect=409)
    assert problem["code"] == "not_latest"
    assert "which is 2" in problem["detail"]
    third = await call(api, "POST", f"/jobs/{first['jobId']}/new-version", {}, expect=201)
    assert third["version"] == 3


async def test_of_two_new_versions_at_once_one_is_refused(api: Face) -> None:
    first = await registered(api)
    path = f"{BASE}/jobs/{first['id']}/new-version"
    answers = await asyncio.gather(*(api.call("POST", path, {"timeoutMs": 5000 + n}) for n in range(2)))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_new_version_with_an_unknown_target_changes_nothing(api: Face) -> None:
    first = await registered(api)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {"target": "reports.gone"}, expect=400)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {"key": "other"}, expect=400)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {"payload": {"days": 2}}, expect=400)
    assert (await call(api, "GET", f"/jobs/{first['id']}"))["status"] == "active"


@pytest.mark.parametrize(("method", "action"), [("PATCH", "pause"), ("PATCH", "resume"), ("POST", "run-now")])
async def test_a_version_that_was_followed_can_be_neither_paused_nor_run(api: Face, method: str, action: str) -> None:
    first = await registered(api)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {}, expect=201)
    body = {"reason": "a migration"} if action == "pause" else None
    problem = await call(api, method, f"/jobs/{first['id']}/{action}", body, expect=409)
    assert (problem["code"], "Version 1 is retired" in problem["detail"]) == ("job_not_active", True)


async def test_run_now_runs_the_target_with_its_payload(api: Face) -> None:
    made = await registered(api)
    asked = await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
    assert (asked["trigger"], asked["status"]) == ("manual", "claimed")
    await api.run_due()
    ran = await call(api, "GET", f"/runs/{asked['id']}")
    assert (ran["status"], ran["target"], ran["payload"]) == ("succeeded", "reports.daily", {"region": "north"})
    assert ran["responseExcerpt"] == '{"region":"north","attempt":1}'
    assert ran["definitionId"] == made["id"]


async def test_a_run_keeps_the_version_and_payload_that_it_ran(api: Face) -> None:
    made = await registered(api)
    asked = await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
    await api.run_due()
    await call(api, "POST", f"/jobs/{made['id']}/new-version", {"payload": {"region": "south"}}, expect=201)
    ran = await call(api, "GET", f"/runs/{asked['id']}")
    assert (ran["jobVersion"], ran["definitionId"], ran["payload"]) == (1, made["id"], {"region": "north"})


async def test_run_now_while_one_is_active_is_skipped_at_once_with_its_reason(api: Face) -> None:
    made = await registered(api)
    await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
    second = await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
    assert (second["status"], second["skipReason"], second["skippedCount"]) == ("skipped", "overlap", 1)


async def test_run_now_is_refused_while_paused_and_when_retired(api: Face) -> None:
    made = await registered(api)
    await call(api, "PATCH", f"/jobs/{made['id']}/pause", {"reason": "a migration"})
    assert (await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=409))["code"] == "job_not_active"
    once = await registered(api, key="once", baselineCron=None, runAt=soon())
    await api.run_due()
    assert (await call(api, "GET", f"/jobs/{once['id']}"))["status"] == "retired"
    assert (await call(api, "POST", f"/jobs/{once['id']}/run-now", expect=409))["code"] == "job_not_active"
    assert (await call(api, "PATCH", f"/jobs/{once['id']}/resume", expect=409))["code"] == "job_not_active"


@pytest.mark.parametrize(("region", "status"), [("north", "succeeded"), ("nowhere", "failed")])
async def test_a_one_time_job_runs_once_and_is_retired_whatever_came_of_it(api: Face, region: str, status: str) -> None:
    made = await registered(api, baselineCron=None, runAt=soon(), payload={"region": region})
    assert made["scheduleType"] == "one_time"
    await api.run_due()
    await api.run_due()
    (ran,) = await runs(api)
    assert (ran["status"], ran["trigger"]) == (status, "scheduled")
    assert ran["scheduledFor"] >= made["runAt"]
    assert (await call(api, "GET", f"/jobs/{made['id']}"))["status"] == "retired"
    again = await call(api, "POST", f"/jobs/{made['id']}/new-version", {"runAt": soon(3600)}, expect=201)
    assert (again["status"], again["version"]) == ("active", 2)


async def test_versions_are_filtered_and_paged(api: Face) -> None:
    first = await registered(api)
    await call(api, "POST", f"/jobs/{first['id']}/new-version", {}, expect=201)
    await registered(api, key="log", target="system.log_message", payload={"message": "hello"})
    await registered(api, key="once", baselineCron=None, runAt=soon(3600))

    async def ids(query: str) -> list[str]:
        page = await call(api, "GET", f"/jobs?{query}")
        return [f"{each['key']}.{each['version']}" for each in page["data"]]

    assert await ids("limit=100") == ["once.1", "log.1", "daily.2", "daily.1"]
    assert await ids("status=retired") == ["daily.1"]
    assert await ids("status=active") == ["once.1", "log.1", "daily.2"]
    assert await ids("target=system.log_message") == ["log.1"]
    assert await ids("key=daily&version=1") == ["daily.1"]
    assert await ids("scheduleType=one_time") == ["once.1"]
    assert await ids("scheduleType=recurring&status=active") == ["log.1", "daily.2"]
    assert await ids(f"jobId={first['jobId']}") == ["daily.2", "daily.1"]
    assert await ids(f"jobId={first['id']}") == ["daily.1"]
    page = await call(api, "GET", "/jobs?limit=3")
    rest = await call(api, "GET", f"/jobs?limit=3&cursor={page['nextCursor']}")
    assert [each["id"] for each in rest["data"]] == [first["id"]]
    assert rest["nextCursor"] is None
    await call(api, "GET", "/jobs?sort=key", expect=400)


async def test_runs_are_filtered_and_paged_and_leave_out_http_jobs(api: Face) -> None:
    made = await registered(api)
    await registered(api, key="log", target="system.log_message", payload=None)
    await api.job()
    for _ in range(2):
        await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
        await api.run_due()
    (log,) = (await call(api, "GET", "/jobs?key=log"))["data"]
    await call(api, "POST", f"/jobs/{log['id']}/run-now", expect=202)
    await api.run_due()
    assert len((await api.call("GET", "/api/v1/runs")).json()["data"]) == 4
    assert [each["key"] for each in await runs(api)] == ["log", "daily", "daily"]
    assert len(await runs(api, "?target=reports.daily&status=succeeded&trigger=manual")) == 2
    assert len(await runs(api, f"?jobId={made['jobId']}&version=1")) == 2
    assert await runs(api, "?version=2") == []
    assert await runs(api, "?status=failed") == []
    assert len(await runs(api, "?key=daily&offset=1")) == 1
    assert await runs(api, "?since=2099-01-01T00:00:00Z") == []
    page = await call(api, "GET", "/runs?limit=2")
    rest = await call(api, "GET", f"/runs?limit=2&cursor={page['nextCursor']}")
    assert [each["key"] for each in rest["data"]] == ["daily"]


async def test_the_targets_are_listed_with_their_payloads(api: Face) -> None:
    listed = (await call(api, "GET", "/targets"))["data"]
    assert [each["target"] for each in listed] == ["reports.daily", "system.log_message"]
    assert listed[0]["description"] == "Write the day's report."
    assert listed[0]["payloadSchema"]["required"] == ["region"]


ROUTES = [
    ("POST", "/jobs", JOB),
    ("GET", "/jobs", None),
    ("GET", "/jobs/{job}", None),
    ("PATCH", "/jobs/{job}/pause", {"reason": "a migration"}),
    ("PATCH", "/jobs/{job}/resume", None),
    ("POST", "/jobs/{job}/new-version", {}),
    ("POST", "/jobs/{job}/run-now", None),
    ("GET", "/runs", None),
    ("GET", "/runs/{run}", None),
    ("GET", "/targets", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_every_route_is_for_admins_only(api: Face, method: str, path: str, body: Any) -> None:
    made = await registered(api)
    asked = await call(api, "POST", f"/jobs/{made['id']}/run-now", expect=202)
    path = path.format(job=made["id"], run=asked["id"])
    assert (await call(api, method, path, body, expect=401, key=None))["code"] == "unauthenticated"
    assert (await call(api, method, path, body, expect=403, key="cron_member"))["code"] == "admins_only"
    if made["id"] in path or asked["id"] in path:
        await call(api, method, path, body, expect=404, key="cron_b")


async def test_an_id_that_names_nothing_is_404(api: Face) -> None:
    made, http = await registered(api), await api.job()
    for text in ("job_nothing", f"{made['jobId']}.2", f"{made['jobId']}.01", f"{made['jobId']}.x", http["id"]):
        await call(api, "GET", f"/jobs/{text}", expect=404)
    await call(api, "GET", "/runs/run_nothing", expect=404)


async def test_a_patch_of_the_job_makes_a_version_by_the_same_mechanism(api: Face) -> None:
    made = await registered(api)
    answer = await api.call("PATCH", f"/api/v1/jobs/{made['jobId']}", {"payload": {"region": "west"}})
    assert (answer.status_code, answer.json()["version"], answer.json()["url"]) == (200, 2, None)
    latest = await call(api, "GET", f"/jobs/{made['jobId']}")
    assert (latest["version"], latest["payload"], latest["history"][0]["changed"]) == (
        2,
        {"region": "west"},
        ["action"],
    )
    refused = await api.call("PATCH", f"/api/v1/jobs/{made['jobId']}", {"target": "reports.gone"})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "unknown_target")


async def test_a_job_is_registered_with_a_target_by_admins_only(api: Face) -> None:
    body = {"name": "daily", "target": "reports.daily", "payload": {"region": "x"}, "baselineIntervalMs": 60000}
    made = await api.call("POST", "/api/v1/jobs", body)
    assert (made.status_code, made.json()["target"], made.json()["planner"]) == (201, "reports.daily", "off")
    assert (await api.call("POST", "/api/v1/jobs", body, key="cron_member")).status_code == 403
    for wrong in (
        {"url": "https://example.com"},
        {"method": "POST"},
        {"bodyJson": {}},
        {"success": {"statusCodes": [200]}},
    ):
        assert (await api.call("POST", "/api/v1/jobs", {**body, **wrong})).status_code == 400
    bare = {"name": "x", "url": "https://example.com", "payload": {}, "baselineIntervalMs": 60000}
    assert (await api.call("POST", "/api/v1/jobs", bare)).status_code == 400


async def test_a_job_may_change_from_a_request_to_a_target_and_back(api: Face) -> None:
    job = await api.job(method="POST", bodyJson={"a": 1})
    path = f"/api/v1/jobs/{job['id']}"
    changed = (await api.call("PATCH", path, {"target": "reports.daily", "payload": {"region": "x"}})).json()
    assert (changed["url"], changed["target"], changed["bodyJson"]) == (None, "reports.daily", None)
    back = (await api.call("PATCH", path, {"url": "https://example.com/b"})).json()
    assert (back["url"], back["target"], back["payload"], back["method"]) == (
        "https://example.com/b",
        None,
        None,
        "GET",
    )


CHANGES = [
    ("POST", "/jobs", {**JOB, "key": "another"}, 201),
    ("PATCH", "/jobs/{job}/pause", {"reason": "a migration"}, 200),
    ("PATCH", "/jobs/{job}/resume", None, 200),
    ("POST", "/jobs/{job}/new-version", {"payload": {"region": "south"}}, 201),
    ("POST", "/jobs/{job}/run-now", None, 202),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES)
async def test_every_change_can_be_rehearsed_and_then_changes_nothing(
    api: Face, method: str, path: str, body: Any, status: int
) -> None:
    made = await registered(api)
    path = path.format(job=made["id"])
    before = [await call(api, "GET", f"/jobs/{made['id']}"), await call(api, "GET", "/jobs"), await runs(api)]
    would = await call(api, method, f"{path}?validateOnly=true", body)
    assert len(would["nextRuns"]) == (0 if path.endswith("/pause") else 5)
    assert [await call(api, "GET", f"/jobs/{made['id']}"), await call(api, "GET", "/jobs"), await runs(api)] == before
    done = await call(api, method, path, body, expect=status)
    fields = ("version", "status", "payload", "trigger")
    assert [would.get(name) for name in fields] == [done.get(name) for name in fields]


@pytest.mark.parametrize(("method", "path", "body", "status"), CHANGES[1:])
async def test_a_change_is_held_to_the_version_that_was_read(
    api: Face, method: str, path: str, body: Any, status: int
) -> None:
    made = await registered(api)
    path = f"{BASE}{path.format(job=made['id'])}"
    read = await api.call("GET", f"{BASE}/jobs/{made['id']}")
    assert read.headers["etag"] == '"1"'
    stale = await api.call(method, path, body, headers={"if-match": '"2"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    done = await api.call(method, path, body, headers={"if-match": read.headers["etag"]})
    assert (done.status_code, done.headers.get("etag")) == (
        status,
        {"run-now": None, "new-version": '"2"'}.get(path.rpartition("/")[2], '"1"'),
    )


@pytest.mark.parametrize(("method", "path", "body", "status"), [each for each in CHANGES if each[0] == "POST"])
async def test_a_post_sent_twice_is_carried_out_once_and_echoed_to_admins_only(
    api: Face, method: str, path: str, body: Any, status: int
) -> None:
    made = await registered(api)
    path, headers = f"{BASE}{path.format(job=made['id'])}", {"idempotency-key": "again"}
    first = await api.call(method, path, body, headers=headers)
    again = await api.call(method, path, body, headers=headers)
    assert (first.status_code, again.status_code, again.json()) == (status, status, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    refused = await api.call(method, path, body, headers=headers, key="cron_member")
    assert (refused.status_code, refused.json()["code"]) == (403, "admins_only")
