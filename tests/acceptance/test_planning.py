"""Planning as an operator sees it: what wakes the model, what it costs, how it is switched, what happens without it."""

import subprocess
from typing import Any

from tests.acceptance.conftest import System
from tests.loopback_model import loopback_model
from tests.processes import ROOT, call, clean_environment, rubato, wait_for

CONCLUDE = {"tool": ["conclude", {"reasoning": "all is calm", "confidence": 0.9, "next_analysis_in_ms": 3_600_000}]}
TIGHTEN = {"tool": ["propose_interval", {"interval_ms": 2_000, "ttl_ms": 600_000, "reason": "the state has changed"}]}


def operator(system: System, *args: str) -> str:
    """Run a command as the operator does; return what it printed."""
    done = subprocess.run(
        rubato(*args),
        env={**clean_environment(), **system.env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sessions(system: System, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a job's sessions, newest first."""
    found: list[dict[str, Any]] = system.api("GET", f"/jobs/{job['id']}/sessions").body["data"]
    return found


def gate_counts(system: System) -> dict[str, int]:
    """Read the gate's verdicts from the worker's metrics."""
    lines = str(call("GET", f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}/metrics").body).splitlines()
    named = (line.split('"') for line in lines if line.startswith("rubato_planner_gate_total{"))
    return {verdict: int(float(rest.split()[-1])) for _, verdict, rest in named}


def test_the_gate_spares_requests_a_change_wakes_the_model_and_its_death_harms_nothing(system: System) -> None:
    with loopback_model([CONCLUDE]) as model:
        system.start(
            "worker",
            RUBATO_PLANNER="llm",
            OPENAI_API_KEY="none",
            OPENAI_BASE_URL=model.url,
            RUBATO_PRICES="gpt-5-mini=10/100",
        )
        job = system.register(baselineIntervalMs=1_000, minIntervalMs=1_000, maxIntervalMs=60_000)
        wait_for("eight runs", lambda: len(system.runs(job)) >= 8)
        calm = len(model.requests)
        assert 1 <= calm <= 3  # the first runs, which a slow worker may take together, and none of the steady ones
        model.script[:] = [TIGHTEN, CONCLUDE]
        system.target.reply = (200, {}, b'{"status":"degraded"}')
        woken = wait_for("the change's session", lambda: next(iter(sessions(system, job)[:-calm]), None))
        assert (woken["wokenBy"], woken["toolCalls"][0]["verdict"]) == ("response_changed", "accepted")
    assert woken["costUsd"] == 0.002 * woken["requests"]
    system.target.reply = (500, {}, b"{}")
    dead = wait_for(
        "a session without the model", lambda: next(iter(s for s in sessions(system, job) if s["error"]), None)
    )
    assert "could not be used" in dead["error"]
    assert dead["model"] == "offline-1"
    runs = [run for run in system.runs(job) if run["status"] in ("succeeded", "failed")]
    counts = gate_counts(system)
    assert counts["first_runs"] == 3
    assert counts["steady"] >= 4
    assert {run["gate"].partition(":")[0] for run in runs} <= set(counts)
    assert len({run["scheduledFor"] for run in runs}) == len(runs)


def test_the_kill_switch_acts_on_running_processes_without_a_restart(system: System) -> None:
    slow = {
        "tool": ["propose_interval", {"interval_ms": 300_000, "ttl_ms": 3_600_000, "reason": "the state has changed"}]
    }
    with loopback_model([slow, CONCLUDE]) as model:
        system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=model.url)
        job = system.register(baselineIntervalMs=600_000, minIntervalMs=1_000)
        wait_for("a hint", lambda: system.explanation(job)["source"] == "hint_interval")
        said = operator(system, "planning", "set", "off", "--reason", "an exercise")
        assert "1 job(s)" in said
        explained = system.explanation(job)
        assert (explained["source"], explained["plannerMode"]) == ("baseline_interval", "off")
        asked = len(model.requests)
        assert system.api("POST", f"/jobs/{job['id']}/plan").status == 409
        assert len(model.requests) == asked
        status = operator(system, "planning", "status")
        assert "planner is off" in status
        assert "an exercise" in status
        operator(system, "planning", "set", "on")
        assert system.explanation(job)["source"] == "hint_interval"


def test_an_admin_turns_the_tenants_switch_and_sees_who_did(system: System) -> None:
    turned = system.api("PUT", "/flags/planner", {"value": "shadow", "reason": "we watch it first"})
    assert (turned.status, turned.body["value"], turned.body["scope"]) == (200, "shadow", "tenant")
    listed = system.api("GET", "/flags").body["data"]
    planner = [(each["scope"], each["value"]) for each in listed if each["name"] == "planner"]
    assert planner == [("everybody", "on"), ("tenant", "shadow")]
    (change,) = system.api("GET", "/flags/planner/changes").body["data"]
    assert (change["oldValue"], change["newValue"], change["reason"]) == (None, "shadow", "we watch it first")
    assert system.api("PUT", "/flags/planner", {"value": "maybe"}).status == 400
    assert system.api("PUT", "/flags/nothing", {"value": "on"}).status == 404


def test_an_allowance_is_a_row_that_the_next_session_obeys(system: System) -> None:
    with loopback_model([CONCLUDE]) as model:
        system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=model.url)
        operator(system, "planning", "quota", "sessions_per_day=1")
        job = system.register(baselineIntervalMs=1_000, maxIntervalMs=1_000)
        denied = wait_for(
            "a denial", lambda: next((s for s in sessions(system, job) if s["outcome"] == "denied"), None)
        )
        assert "all_sessions_per_day" in denied["error"]
        assert len(model.requests) == 1
