"""The job routes: register, read, edit, pause, run, delete."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.wire import rfc3339
from tests.integration.apis import JOB, Face, face

SOON = rfc3339(datetime.now(UTC) + timedelta(hours=1))
PAST = rfc3339(datetime.now(UTC) - timedelta(hours=1))


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def test_the_documented_call_is_401_without_a_key_and_201_with_one(api: Face) -> None:
    assert (await api.call("POST", "/api/v1/jobs", JOB, key=None)).status_code == 401
    answer = await api.call("POST", "/api/v1/jobs", JOB)
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["cache-control"] == "no-store"
    assert (await api.call("GET", answer.headers["location"])).json() == job


async def test_defaults_are_filled_in_by_the_kind_of_baseline(api: Face) -> None:
    interval = await api.job()
    cron = await api.job(baselineIntervalMs=None, baselineCron="*/5 * * * *")
    once = await api.job(baselineIntervalMs=None, runAt=SOON)
    assert [job["catchup"] for job in (interval, cron, once)] == ["latest", "skip", "skip"]
    assert interval["authority"] == {"tighten": True, "relax": True, "pause": True}
    assert cron["authority"] == {"tighten": True, "relax": False, "pause": False}
    assert once["authority"] == {"tighten": False, "relax": False, "pause": False}
    assert cron["timezone"] == "UTC"
    assert (interval["method"], interval["timeoutMs"], interval["planner"]) == ("GET", 30000, "on")
    assert (interval["overlap"], interval["delivery"], interval["storeResponses"]) == ("skip", "at_least_once", True)
    assert (interval["status"], interval["version"], interval["failureCount"]) == ("active", 1, 0)
    assert interval["lastRun"] is None


async def test_snake_case_is_taken_too_and_camel_case_comes_out(api: Face) -> None:
    answer = await api.call("POST", "/api/v1/jobs", {"name": "n", "url": "https://x.org", "baseline_interval_ms": 5000})
    assert answer.json()["baselineIntervalMs"] == 5000


async def test_opaque_objects_keep_their_spelling(api: Face) -> None:
    opaque = {"snake_key": {"camelKey": [1, None]}}
    job = await api.job(metadata=opaque, bodyJson=opaque, headersJson={"X-My_Header": "a"}, labels={"my_label": "b"})
    assert (job["metadata"], job["bodyJson"]) == (opaque, opaque)
    assert (job["headersJson"], job["labels"]) == ({"X-My_Header": "a"}, {"my_label": "b"})


async def test_a_time_out_below_a_second_acts_as_one(api: Face) -> None:
    assert (await api.job(timeoutMs=10))["timeoutMs"] == 1000


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("no name", {"name": None}, "/name", "string_type"),
    ("an empty name", {"name": ""}, "/name", "string_too_short"),
    ("a long name", {"name": "x" * 256}, "/name", "string_too_long"),
    ("a number as name", {"name": 5}, "/name", "string_type"),
    ("no baseline", {"baselineIntervalMs": None}, "", "value_error"),
    ("two baselines", {"baselineCron": "* * * * *"}, "", "value_error"),
    ("an unknown field", {"colour": "red"}, "/colour", "unknown_field"),
    ("a misspelled field", {"baselineIntervalMS": 5}, "/baselineIntervalMS", "unknown_field"),
    ("both spellings", {"baseline_interval_ms": 60000}, "", "value_error"),
    ("a text as interval", {"baselineIntervalMs": "60000"}, "/baselineIntervalMs", "int_type"),
    ("a boolean as interval", {"baselineIntervalMs": True}, "/baselineIntervalMs", "int_type"),
    ("a fraction as interval", {"baselineIntervalMs": 1.5}, "/baselineIntervalMs", "int_type"),
    ("no interval at all", {"baselineIntervalMs": 0}, "/baselineIntervalMs", "greater_than_equal"),
    ("an endless interval", {"baselineIntervalMs": 10**15}, "/baselineIntervalMs", "less_than_equal"),
    ("below the operator's minimum", {"baselineIntervalMs": 500}, "/baselineIntervalMs", "below_minimum_interval"),
    ("below its own minimum", {"minIntervalMs": 70000}, "/baselineIntervalMs", "below_minimum_interval"),
    ("above its own maximum", {"maxIntervalMs": 50000}, "/baselineIntervalMs", "above_maximum_interval"),
    (
        "bounds the wrong way round",
        {"minIntervalMs": 70000, "maxIntervalMs": 60000},
        "/minIntervalMs",
        "bounds_reversed",
    ),
    ("a bad cron", {"baselineIntervalMs": None, "baselineCron": "61 * * * *"}, "/baselineCron", "invalid_cron"),
    ("words for cron", {"baselineIntervalMs": None, "baselineCron": "at noon"}, "/baselineCron", "invalid_cron"),
    (
        "a date that never comes",
        {"baselineIntervalMs": None, "baselineCron": "0 0 30 2 *"},
        "/baselineCron",
        "invalid_cron",
    ),
    (
        "a cron closer than the minimum",
        {"baselineIntervalMs": None, "baselineCron": "* * * * *", "minIntervalMs": 120000},
        "/baselineCron",
        "below_minimum_interval",
    ),
    (
        "a zone that is none",
        {"baselineIntervalMs": None, "baselineCron": "0 0 * * *", "timezone": "Mars/Base"},
        "/timezone",
        "invalid_timezone",
    ),
    ("a zone without a cron", {"timezone": "Europe/Lisbon"}, "", "value_error"),
    ("a past instant", {"baselineIntervalMs": None, "runAt": PAST}, "/runAt", "in_the_past"),
    (
        "an instant without a zone",
        {"baselineIntervalMs": None, "runAt": "2099-01-01T00:00:00"},
        "/runAt",
        "value_error",
    ),
    ("a number as instant", {"baselineIntervalMs": None, "runAt": 4070908800}, "/runAt", "value_error"),
    ("an instant far away", {"baselineIntervalMs": None, "runAt": "9999-12-31T23:59:59Z"}, "/runAt", "value_error"),
    (
        "a window the wrong way round",
        {"startAt": "2099-02-01T00:00:00Z", "endAt": "2099-01-01T00:00:00Z"},
        "/endAt",
        "window_reversed",
    ),
    ("a window that is over", {"endAt": PAST}, "/endAt", "in_the_past"),
    ("neither URL nor target", {"url": None}, "", "value_error"),
    ("a URL without a scheme", {"url": "example.com"}, "/url", "invalid_url"),
    ("another scheme", {"url": "ftp://example.com"}, "/url", "invalid_url"),
    ("a file", {"url": "file:///etc/passwd"}, "/url", "invalid_url"),
    ("a URL without a host", {"url": "http://"}, "/url", "invalid_url"),
    ("a URL with a space", {"url": "http://exa mple.com"}, "/url", "invalid_url"),
    ("a URL with a password", {"url": "http://u:p@example.com"}, "/url", "userinfo_in_url"),
    ("loopback", {"url": "http://127.0.0.1:8080/"}, "/url", "blocked_address"),
    ("localhost", {"url": "http://localhost/"}, "/url", "blocked_address"),
    ("a private address", {"url": "http://10.0.0.5/"}, "/url", "blocked_address"),
    ("the metadata address", {"url": "http://169.254.169.254/latest"}, "/url", "blocked_address"),
    ("an octal address", {"url": "http://0177.0.0.1/"}, "/url", "invalid_url"),
    ("another protocol's port", {"url": "http://example.com:25/"}, "/url", "blocked_port"),
    ("an unknown method", {"method": "BREW"}, "/method", "literal_error"),
    ("a header of ours", {"headersJson": {"Host": "x"}}, "/headersJson/Host", "denied_header"),
    ("a header with a line break", {"headersJson": {"x-a": "b\r\nc: d"}}, "/headersJson/x-a", "invalid_header"),
    ("a header that is no name", {"headersJson": {"x a": "b"}}, "/headersJson/x a", "invalid_header"),
    ("a header that is no text", {"headersJson": {"x-a": 5}}, "/headersJson/x-a", "string_type"),
    ("a list of headers", {"headersJson": []}, "/headersJson", "dict_type"),
    ("a long time-out", {"timeoutMs": 1800001}, "/timeoutMs", "less_than_equal"),
    ("an unknown policy", {"catchup": "all"}, "/catchup", "literal_error"),
    ("an unknown overlap", {"overlap": "allow"}, "/overlap", "literal_error"),
    ("a grant that is none", {"authority": {"tighten": "yes"}}, "/authority/tighten", "bool_type"),
    ("an unknown grant", {"authority": {"delete": True}}, "/authority/delete", "unknown_field"),
    ("a status that is none", {"success": {"statusCodes": [99]}}, "/success/statusCodes/0", "greater_than_equal"),
    ("a pointer that is none", {"success": {"jsonPointer": "a"}}, "/success/jsonPointer", "string_pattern_mismatch"),
    ("an equals without a place", {"success": {"equals": 1}}, "/success", "value_error"),
    ("too many labels", {"labels": {str(n): "x" for n in range(51)}}, "/labels", "too_long"),
    ("a NUL in a text", {"description": "a\x00b"}, "", "value_error"),
    ("half a character", {"name": "\ud800"}, "", "value_error"),
    ("a number past 64 bits", {"metadata": {"n": 2**63}}, "", "value_error"),
    ("a number that is none", {"bodyJson": [float("nan")]}, "", "value_error"),
    ("endless nesting", {"metadata": {"n": json.loads("[" * 150 + "]" * 150)}}, "", "value_error"),
]


@pytest.mark.parametrize(("what", "fields", "pointer", "code"), BAD, ids=[row[0] for row in BAD])
async def test_bad_input_names_the_field_and_stores_nothing(
    api: Face, what: str, fields: dict[str, Any], pointer: str, code: str
) -> None:
    content = json.dumps({**JOB, **fields}, ensure_ascii=True)
    headers = {"content-type": "application/json"}
    answer = await api.call("POST", "/api/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in problem["errors"]]
    assert all(error["detail"] for error in problem["errors"])
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert await api.count_jobs() == 0


async def test_several_mistakes_are_named_at_once(api: Face) -> None:
    answer = await api.call("POST", "/api/v1/jobs", {"name": "", "url": "x", "timeoutMs": "1", "baselineIntervalMs": 9})
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/name", "/timeoutMs"}


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"name": "New"}, {"name": "New"}),
        ({"baselineIntervalMs": 120000}, {"baselineIntervalMs": 120000}),
        (
            {"baselineCron": "*/5 * * * *"},
            {"baselineCron": "*/5 * * * *", "baselineIntervalMs": None, "timezone": "UTC"},
        ),
        ({"runAt": SOON}, {"baselineIntervalMs": None}),
        ({"minIntervalMs": 30000, "max_interval_ms": 90000}, {"minIntervalMs": 30000, "maxIntervalMs": 90000}),
        ({"headersJson": {"b": "2"}}, {"headersJson": {"b": "2"}}),
        ({"metadata": None}, {"metadata": {}}),
        ({"authority": {"pause": False}}, {"authority": {"tighten": True, "relax": True, "pause": False}}),
        ({"description": None}, {"description": None}),
        ({"timeoutMs": None}, {"timeoutMs": 30000}),
        ({"success": {"statusCodes": [204]}}, {"success": {"statusCodes": [204]}}),
    ],
)
async def test_a_patch_changes_what_it_names_and_nothing_else(api: Face, patch: Any, changed: Any) -> None:
    job = await api.job(description="d", headersJson={"a": "1"}, metadata={"k": 1}, timeoutMs=9000, startAt=SOON)
    answer = await api.call("PATCH", f"/api/v1/jobs/{job['id']}", patch)
    assert answer.status_code == 200, answer.text
    after = answer.json()
    assert {name: after[name] for name in changed} == changed
    untouched = set(job) - set(changed) - {"version", "updatedAt", "nextRunAt", "nextRunSource", "runAt"}
    assert {name: after[name] for name in untouched} == {name: job[name] for name in untouched}
    assert (after["version"], answer.headers["etag"]) == (2, '"2"')
    versions = (await api.call("GET", f"/api/v1/jobs/{job['id']}/versions")).json()["data"]
    assert [version["version"] for version in versions] == [2, 1]


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"colour": 1}, "/colour"),
        ({"id": "job_x"}, "/id"),
        ({"baselineCron": "* * * * *", "runAt": SOON}, "/runAt"),
        ({"baselineIntervalMs": None}, ""),
        ({"name": None}, "/name"),
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"timeout_ms": 5, "timeoutMs": 5}, "/timeout_ms"),
        ({"maxIntervalMs": 10}, "/maxIntervalMs"),
    ],
)
async def test_a_bad_patch_changes_nothing(api: Face, patch: Any, pointer: str) -> None:
    job = await api.job()
    answer = await api.call("PATCH", f"/api/v1/jobs/{job['id']}", patch)
    assert answer.status_code == 400, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}")).json() == job


async def test_an_empty_patch_is_no_edit_and_a_merge_patch_type_is_taken(api: Face) -> None:
    job = await api.job()
    headers = {"content-type": "application/merge-patch+json"}
    answer = await api.call("PATCH", f"/api/v1/jobs/{job['id']}", content="{}", headers=headers)
    assert answer.json() == job
    answer = await api.call("PATCH", f"/api/v1/jobs/{job['id']}", content="[]", headers=headers)
    assert answer.status_code == 400


async def test_a_schedule_change_recomputes_the_next_run(api: Face) -> None:
    job = await api.job(startAt=SOON)
    after = (await api.call("PATCH", f"/api/v1/jobs/{job['id']}", {"startAt": None})).json()
    assert after["nextRunAt"] < job["nextRunAt"]


async def test_pausing_hides_the_next_run_and_resuming_brings_it_back(api: Face) -> None:
    job = await api.job(startAt=SOON)
    path = f"/api/v1/jobs/{job['id']}"
    paused = (await api.call("POST", f"{path}/pause", {"reason": "deploying"})).json()
    assert (paused["status"], paused["nextRunAt"], paused["pausedUntil"]) == ("paused", None, None)
    assert (paused["pauseReason"], paused["pausedBy"], paused["nextRunSource"]) == ("deploying", "user", "paused_user")
    refused = await api.call("POST", f"{path}/run")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_active")
    until = rfc3339(datetime.now(UTC) + timedelta(minutes=5))
    timed = (await api.call("POST", f"{path}/pause", {"pausedUntil": until})).json()
    assert (timed["status"], timed["pausedUntil"]) == ("paused", until)
    resumed = (await api.call("POST", f"{path}/resume")).json()
    assert (resumed["status"], resumed["nextRunAt"]) == ("active", job["nextRunAt"])
    assert (await api.call("POST", f"{path}/pause")).json()["status"] == "paused"


@pytest.mark.parametrize(
    "body", [{"until": PAST}, {"until": SOON, "pausedUntil": SOON}, {"for": 5}, {"reason": "x" * 301}]
)
async def test_a_bad_pause_is_refused(api: Face, body: Any) -> None:
    job = await api.job()
    assert (await api.call("POST", f"/api/v1/jobs/{job['id']}/pause", body)).status_code == 400
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}")).json()["status"] == "active"


async def test_running_testing_and_cancelling(api: Face) -> None:
    job = await api.job(startAt=SOON)
    asked = await api.call("POST", f"/api/v1/jobs/{job['id']}/run")
    assert (asked.status_code, asked.json()["status"], asked.json()["trigger"]) == (202, "claimed", "manual")
    overlapping = await api.call("POST", f"/api/v1/jobs/{job['id']}/run")
    assert (overlapping.status_code, overlapping.json()["status"]) == (202, "skipped")
    canceled = await api.call("POST", f"/api/v1/runs/{asked.json()['id']}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    again = await api.call("POST", f"/api/v1/runs/{asked.json()['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "run_finished")
    tested = await api.call("POST", f"/api/v1/jobs/{job['id']}/test")
    assert (tested.status_code, tested.json()["trigger"]) == (202, "test")
    await api.run_due()
    assert (await api.call("GET", f"/api/v1/runs/{tested.json()['id']}")).json()["status"] == "succeeded"
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}")).json()["nextRunAt"] == job["nextRunAt"]


async def test_a_deleted_job_is_gone_and_its_runs_stay(api: Face) -> None:
    job = await api.job()
    await api.run_due()
    assert (await api.call("DELETE", f"/api/v1/jobs/{job['id']}")).status_code == 204
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}")).status_code == 404
    assert (await api.call("DELETE", f"/api/v1/jobs/{job['id']}")).status_code == 404
    runs = (await api.call("GET", f"/api/v1/jobs/{job['id']}/runs")).json()["data"]
    assert [run["status"] for run in runs] == ["succeeded"]


async def test_a_taken_key_is_a_conflict(api: Face) -> None:
    await api.job(key="k")
    answer = await api.call("POST", "/api/v1/jobs", {**JOB, "key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "key_taken")


async def test_jobs_are_listed_in_pages_and_by_filter(api: Face) -> None:
    made = [await api.job(name=f"j{n}", group="g" if n % 2 else None, labels={"n": str(n)}) for n in range(5)]
    ids = [job["id"] for job in reversed(made)]
    first = (await api.call("GET", "/api/v1/jobs?limit=2")).json()
    second = (await api.call("GET", f"/api/v1/jobs?limit=9&cursor={first['nextCursor']}")).json()
    assert [job["id"] for job in first["data"] + second["data"]] == ids
    assert second["nextCursor"] is None
    assert len((await api.call("GET", "/api/v1/jobs?group=g")).json()["data"]) == 2
    assert len((await api.call("GET", "/api/v1/jobs?label=n:3")).json()["data"]) == 1
    assert (await api.call("GET", "/api/v1/jobs?status=paused")).json() == {"data": [], "nextCursor": None}
    foreign = await api.call("GET", f"/api/v1/jobs?group=g&cursor={first['nextCursor']}")
    assert (foreign.status_code, foreign.json()["errors"][0]["code"]) == (400, "invalid_cursor")
