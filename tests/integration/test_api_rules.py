"""The rules of a job over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.ports.dispatcher import HttpResult
from tests.integration.apis import Face, face

DEEP = {"field": "/queue_depth", "op": "gt", "value": 500}
RULE = {"when": DEEP, "intervalMs": 30000}


@pytest.fixture
async def api() -> AsyncIterator[Face]:
    async with face() as made:
        yield made


async def written(api: Face, job: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/rules", {**RULE, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/rules/{answer.json()['id']}"
    made: dict[str, Any] = answer.json()
    return made


async def test_a_rule_is_written_read_edited_switched_off_and_deleted(api: Face) -> None:
    job = await api.job()
    rule = await written(api, job, description="in my words")
    assert (rule["state"], rule["author"], rule["inEffect"], rule["jobId"]) == ("accepted", "user", False, job["id"])
    assert (rule["forRuns"], rule["untilRuns"], rule["until"], rule["ttlMs"]) == (1, 2, None, 600_000)
    assert rule["inWords"] == rule["reason"] == "/queue_depth is above 500"
    path = f"/api/v1/rules/{rule['id']}"
    assert (await api.call("GET", path)).json() == rule
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}/rules")).json()["data"] == [rule]
    patch = {"intervalMs": 45000, "when": {"any": [DEEP, {"field": "outcome", "op": "eq", "value": "failed"}]}}
    edited = (await api.call("PATCH", path, patch)).json()
    assert (edited["intervalMs"], edited["description"], edited["state"]) == (45000, "in my words", "accepted")
    assert edited["reason"] == '/queue_depth is above 500 or outcome is "failed"'
    assert (await api.call("PATCH", path, {"description": None})).json()["description"] is None
    assert (await api.call("POST", f"{path}/reject")).json()["state"] == "rejected"
    assert (await api.call("POST", f"{path}/accept")).json()["state"] == "accepted"
    assert (await api.call("DELETE", path)).status_code == 204
    assert (await api.call("GET", path)).status_code == 404


async def test_a_rule_in_effect_shows_as_a_hint_of_its_own(api: Face) -> None:
    job = await api.job()
    rule = await written(api, job)
    api.dispatcher.plan = lambda request: HttpResult(200, 3, body='{"queue_depth":900}', body_bytes=19)
    await api.run_due()
    (hint,) = (await api.call("GET", f"/api/v1/jobs/{job['id']}/hints")).json()["data"]
    assert (hint["author"], hint["ruleId"], hint["intervalMs"]) == ("rule", rule["id"], 30000)
    assert (await api.call("GET", f"/api/v1/rules/{rule['id']}")).json()["inEffect"]
    told = (await api.call("GET", f"/api/v1/jobs/{job['id']}/explanation")).json()
    assert (told["source"], told["hintId"]) == ("hint_interval", hint["id"])
    assert "A rule asked for a run every 30 s" in told["reason"]


async def test_a_draft_is_tried_on_past_runs_and_nothing_is_written(api: Face) -> None:
    job = await api.job()
    long = json.dumps({"padding": "x" * 5000, "queue_depth": 900})
    for body in ('{"queue_depth":900}', long, "oops"):
        api.dispatcher.plan = lambda request, body=body: HttpResult(200, 3, body=body, body_bytes=len(body))  # type: ignore[misc]
        await api.call("POST", f"/api/v1/jobs/{job['id']}/run")
        await api.run_due()
    answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/rules?validateOnly=true", RULE)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["rule"]["intervalMs"], told["matched"]) == (30000, 1)
    assert told["notJudged"]["truncated"] == 1
    assert told["notJudged"]["not_json"] == 1
    assert [run["runId"] for run in told["runs"] if run["matched"]]
    assert (await api.call("GET", f"/api/v1/jobs/{job['id']}/rules")).json()["data"] == []
    rule = await written(api, job)
    tried = await api.call("PATCH", f"/api/v1/rules/{rule['id']}?validateOnly=true", {"when": {**DEEP, "value": 1000}})
    assert (tried.status_code, tried.json()["matched"]) == (200, 0)
    assert (await api.call("GET", f"/api/v1/rules/{rule['id']}")).json() == rule


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"when": {"field": "queue_depth", "op": "gt", "value": 1}}, "/when/field"),
        ({"when": {"all": [DEEP, {**DEEP, "op": "over"}]}}, "/when/all/1/op"),
        ({"when": {**DEEP, "value": 10**16}}, "/when/value"),
        ({"when": {**DEEP, "op": "eq", "value": "a\u0007b"}}, "/when/value"),
        ({"until": {"any": []}}, "/until/any"),
        ({"pauseMs": 1000}, "/intervalMs"),
        ({"intervalMs": None}, "/intervalMs"),
        ({"intervalMs": 0}, "/intervalMs"),
        ({"intervalMs": 80_000_000}, "/intervalMs"),
        ({"ttlMs": 59_999}, "/ttlMs"),
        ({"forRuns": 0}, "/forRuns"),
        ({"untilMs": 604_800_001}, "/untilMs"),
        ({"reason": ""}, "/reason"),
        ({"authority": {"pause": True}}, "/authority"),
    ],
)
async def test_a_bad_rule_is_refused_at_its_field(api: Face, change: dict[str, Any], pointer: str) -> None:
    job = await api.job()
    answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/rules", {**RULE, **change})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_bad_edit_is_refused_and_changes_nothing(api: Face) -> None:
    job = await api.job()
    rule = await written(api, job)
    path = f"/api/v1/rules/{rule['id']}"
    for patch, pointer in (
        ({"when": None}, "/when"),
        ({"state": "proposed"}, "/state"),
        ({"intervalMs": 1000, "interval_ms": 2000}, "/interval_ms"),
        ({"pauseMs": 5000}, "/intervalMs"),
    ):
        answer = await api.call("PATCH", path, patch)
        assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (400, [pointer])
    paused = await api.call("PATCH", path, {"pauseMs": 5000, "intervalMs": None})
    assert (paused.json()["pauseMs"], paused.json()["intervalMs"], paused.json()["ttlMs"]) == (5000, None, 5000)


async def test_the_same_rule_twice_is_a_conflict(api: Face) -> None:
    job = await api.job()
    await written(api, job)
    answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/rules", {**RULE, "reason": "in other words"})
    assert (answer.status_code, answer.json()["code"]) == (409, "rule_exists")


@pytest.mark.parametrize(
    ("method", "end", "body", "shown"),
    [
        ("DELETE", "", None, {}),
        ("POST", "/accept", None, {"state": "accepted"}),
        ("POST", "/reject", None, {"state": "rejected"}),
        ("PATCH", "", {"intervalMs": 45000}, {"tried": 0}),
    ],
)
async def test_every_change_of_a_rule_can_be_rehearsed_and_held_to_a_version(
    api: Face, method: str, end: str, body: Any, shown: dict[str, Any]
) -> None:
    job = await api.job()
    rule = await written(api, job)
    path = f"/api/v1/rules/{rule['id']}{end}"
    would = await api.call(method, f"{path}?validateOnly=true", body)
    assert (would.status_code, len(would.json()["nextRuns"])) == (200, 5)
    assert {name: would.json()[name] for name in shown} == shown
    stale = await api.call(method, path, body, headers={"if-match": '"2"'})
    assert stale.status_code == 412
    assert (await api.call("GET", f"/api/v1/rules/{rule['id']}")).json() == rule
    assert (await api.call(method, path, body, headers={"if-match": '"1"'})).status_code in (200, 204)


async def test_a_rehearsal_refuses_the_rule_that_writing_it_would(api: Face) -> None:
    job = await api.job()
    await written(api, job)
    for query in ("", "?validateOnly=true"):
        again = await api.call("POST", f"/api/v1/jobs/{job['id']}/rules{query}", RULE)
        assert (again.status_code, again.json()["code"]) == (409, "rule_exists")
