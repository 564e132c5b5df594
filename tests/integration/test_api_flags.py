"""Switches over the API: read by all of a tenant, turned by its admins, explained while on paper only."""

from dataclasses import replace
from typing import Any

import pytest

from core.sessions import Proposal
from tests.integration.apis import KEYS, face
from tests.unit.loop import interval_proposal


async def test_nobody_has_turned_anything_at_first() -> None:
    async with face() as api:
        listed = (await api.call("GET", "/api/v1/flags")).json()["data"]
        assert [(each["name"], each["scope"], each["value"], each["changedAt"]) for each in listed] == [
            (name, scope, "on", None)
            for name in ("planner", "rules", "cron", "interval")
            for scope in ("everybody", "tenant")
        ]


async def test_a_member_reads_switches_and_turns_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KEYS, "cron_member", replace(KEYS["cron_a"], role="member"))
    async with face() as api:
        assert (await api.call("GET", "/api/v1/flags", key="cron_member")).status_code == 200
        refused = await api.call("PUT", "/api/v1/flags/planner", {"value": "off"}, key="cron_member")
        assert (refused.status_code, refused.json()["code"]) == (403, "admins_only")
        history = await api.call("GET", "/api/v1/flags/planner/changes", key="cron_member")
        assert history.status_code == 403


async def test_a_tenants_switch_is_its_own() -> None:
    async with face() as api:
        assert (await api.call("PUT", "/api/v1/flags/planner", {"value": "off"})).status_code == 200
        theirs = (await api.call("GET", "/api/v1/flags", key="cron_b")).json()["data"]
        assert {each["value"] for each in theirs} == {"on"}
        assert (await api.call("GET", "/api/v1/flags/planner/changes", key="cron_b")).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"value": "maybe"}, "/value"),
        ({"value": "off", "reason": "x" * 301}, "/reason"),
        ({"value": None}, "/value"),
        ({}, "/value"),
        ({"value": "off", "scope": ""}, "/scope"),
    ],
)
async def test_a_position_that_is_none_is_refused_by_name(body: Any, pointer: str) -> None:
    async with face() as api:
        answer = await api.call("PUT", "/api/v1/flags/planner", body)
        assert answer.status_code == 400
        assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_a_kind_of_baseline_is_off_for_one_tenant_until_it_is_turned_on_again() -> None:
    async with face() as api:
        refused = await api.call("PUT", "/api/v1/flags/interval", {"value": "shadow"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (400, "/value")
        assert (await api.call("PUT", "/api/v1/flags/none", {"value": "off"})).status_code == 404
        turned = await api.call("PUT", "/api/v1/flags/interval", {"value": "off", "reason": "an incident"})
        assert (turned.status_code, turned.json()["value"]) == (200, "off")
        (change,) = (await api.call("GET", "/api/v1/flags/interval/changes")).json()["data"]
        assert (change["oldValue"], change["newValue"], change["reason"]) == (None, "off", "an incident")


async def test_the_explanation_of_a_shadow_says_what_would_have_happened() -> None:
    proposals: list[Proposal] = [interval_proposal(10)]
    async with face() as api:
        await api.call("PUT", "/api/v1/flags/planner", {"value": "shadow"})
        job = await api.job(minIntervalMs=5000)
        await api.run_due()
        api.planner.script.append(proposals)
        await api.plans.run_once()
        told = (await api.call("GET", f"/api/v1/jobs/{job['id']}/explanation")).json()
        assert (told["plannerMode"], told["source"], told["activeHints"]) == ("shadow", "baseline_interval", [])
        assert told["shadow"]["decision"]["source"] == "hint_interval"
        assert [hint["state"] for hint in told["shadow"]["hints"]] == ["shadow"]
        session = (await api.call("GET", f"/api/v1/jobs/{job['id']}/sessions")).json()["data"][0]
        assert (session["mode"], session["wokenBy"]) == ("shadow", "first_runs")
        run = (await api.call("GET", f"/api/v1/jobs/{job['id']}/runs")).json()["data"][0]
        assert run["gate"] == "first_runs"


async def test_asking_for_a_session_while_planning_is_off_says_why_not() -> None:
    async with face() as api:
        job = await api.job()
        await api.call("PUT", "/api/v1/flags/planner", {"value": "off"})
        answer = await api.call("POST", f"/api/v1/jobs/{job['id']}/plan")
        assert (answer.status_code, answer.json()["code"]) == (409, "planner_off")
        assert "GET /flags" in answer.json()["detail"]


async def test_turning_a_switch_can_be_rehearsed() -> None:
    async with face() as api:
        path = "/api/v1/flags/planner?validateOnly=true"
        would = await api.call("PUT", path, {"value": "off", "reason": "a drill"})
        assert (would.status_code, would.json()["value"], would.json()["reason"]) == (200, "off", "a drill")
        assert (await api.call("PUT", path, {"value": "sideways"})).status_code == 400
        listed = (await api.call("GET", "/api/v1/flags")).json()
        assert ({each["value"] for each in listed["data"]}, listed["nextCursor"]) == ({"on"}, None)
