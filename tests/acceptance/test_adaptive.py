"""The systems that Rubato promises, a row each; every docstring begins with its row."""

import asyncio
import inspect
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.entities import (
    CronBaseline,
    HintKind,
    HintState,
    HttpAction,
    JobStatus,
    OnceBaseline,
    PlannerMode,
    RunStatus,
    SlotKind,
    Source,
)
from core.errors import CronError, InvalidInput
from core.governor import decide
from core.ports.dispatcher import HttpRequest
from core.ports.quota import Reservation
from core.usecases.manage_hints import HintDraft
from core.usecases.turn_switches import TurnSwitches
from rubato.adapters.clock import SystemClock
from rubato.adapters.cron import CroniterCron
from rubato.adapters.http.dispatcher import HttpDispatcher
from rubato.adapters.http.guard import AddressPolicy
from rubato.adapters.postgres.allowances import PostgresAllowances
from rubato.adapters.postgres.flags import PostgresFlags
from tests.acceptance.conftest import System
from tests.acceptance.live import Live, live
from tests.processes import ROOT, clean_environment, target, wait_for
from tests.unit.loop import Loop, interval_proposal

HERE = Path(__file__).parent


@pytest.fixture
async def open_live(database_url: str) -> AsyncIterator[Any]:
    """Return what opens the loops with a script."""
    opened: list[AbstractAsyncContextManager[Live]] = []

    async def opening(*script: dict[str, Any], offline: bool = False) -> Live:
        context = live(database_url, *script, offline=offline)
        opened.append(context)
        return await context.__aenter__()

    yield opening
    for context in reversed(opened):
        await context.__aexit__(None, None, None)


def proposing(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": [tool, {"reason": "the evidence", **arguments}]}


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_r01_the_core_is_pure() -> None:
    """R01: importing all of core loads no database, HTTP or LLM package."""
    code = (
        "import pkgutil, importlib, sys, core\n"
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(core.__path__, 'core.')]\n"
        "banned = {'sqlalchemy','asyncpg','fastapi','httpx2','openai','pydantic_ai','pydantic','croniter'}\n"
        "print(sorted(banned & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_r02_the_governor_is_held_by_properties() -> None:
    """R02: one function decides, pure and synchronous; its properties stand in test_governor_properties.py."""
    from tests.unit import test_governor_properties

    assert not inspect.iscoroutinefunction(decide)
    properties = [name for name in dir(test_governor_properties) if name.startswith("test_")]
    assert len(properties) >= 10


async def test_r03_a_tick_claims_executes_and_decides(open_live: Any) -> None:
    """R03: one due job gives one terminal run, a future next run, and a decision that says why."""
    loops: Live = await open_live()
    job = await loops.job()
    await loops.turn()
    (run,) = await loops.runs(job)
    assert run.status is RunStatus.SUCCEEDED
    assert run.decision is not None
    assert run.decision.next_run_at is not None
    assert run.decision.next_run_at > datetime.now(UTC)
    assert "every 1 min" in run.decision.reason
    assert len(loops.target.seen) == 1


async def test_r04_a_models_tool_call_executes_and_bad_arguments_come_back(open_live: Any) -> None:
    """R04: a scripted tool call is carried out; invalid arguments change nothing and reach the model as a retry."""
    bad = proposing("propose_interval", interval_ms="soon", ttl_ms=600_000)
    loops: Live = await open_live(bad, proposing("propose_interval", interval_ms=5000, ttl_ms=600_000))
    job = await loops.job()
    await loops.turn()
    assert (await loops.the_hint(job)).interval == timedelta(seconds=5)
    assert len(loops.model.requests) == 2
    assert "interval_ms" in str(loops.model.requests[1]["body"]["messages"][-1])


async def test_r05_the_store_is_migrated_postgresql(open_live: Any) -> None:
    """R05: migrations build an empty database; the contract suite (tests/contract) runs on it and on memory."""
    loops: Live = await open_live()
    async with loops.engine.connect() as connection:
        version = (await connection.execute(text("SHOW server_version_num"))).scalar_one()
        partitioned = await connection.execute(
            text("SELECT count(*) FROM pg_partition_tree('runs') WHERE isleaf AND relid::text <> 'runs_default'")
        )
    assert int(version) >= 150000
    assert partitioned.scalar_one() >= 8


async def test_r06_claiming_is_atomic(open_live: Any) -> None:
    """R06: concurrent claimers of 100 due jobs get disjoint sets, together all; processes do so in
    tests/integration/test_claiming_processes.py."""
    loops: Live = await open_live()
    jobs = {(await loops.job()).id for _ in range(100)}
    claims = await asyncio.gather(*(loops.store.claim(f"w{n}", limit=50, lease=timedelta(minutes=1)) for n in range(4)))
    claimed = [claim.ref.job_id for answer in claims for claim in answer.jobs]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= jobs
    rest = await loops.store.claim("rest", limit=100, lease=timedelta(minutes=1))
    assert len(claimed) + len(rest.jobs) == 100


def test_r07_cron_fires_strictly_later_in_utc_by_default() -> None:
    """R07: the next fire is strictly later; a bad expression raises CronError."""
    cron, noon = CroniterCron(), datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert cron.next_after("0 12 * * *", "UTC", noon) == noon + timedelta(days=1)
    assert CronBaseline("0 12 * * *").timezone == "UTC"
    with pytest.raises(CronError):
        cron.validate("not a cron", "UTC")


async def test_r08_a_whole_tick_runs_without_io() -> None:
    """R08: on the fakes a tick needs no I/O, and the same input gives the same output."""

    async def tick() -> object:
        loop = Loop()
        job = await loop.register()
        loop.planner.script.append([interval_proposal(20)])
        await loop.turn()
        return await loop.job(job), await loop.runs(job)

    assert await tick() == await tick()


@pytest.mark.parametrize(
    ("status", "outcome", "message"),
    [(204, RunStatus.SUCCEEDED, None), (404, RunStatus.FAILED, "HTTP 404"), (500, RunStatus.FAILED, "HTTP 500")],
)
async def test_r09_the_status_decides(open_live: Any, status: int, outcome: RunStatus, message: str | None) -> None:
    """R09: 2xx is success, 404 fails with its message, and 500 is asked exactly once."""
    loops: Live = await open_live()
    loops.target.reply = (status, {}, b"")
    job = await loops.job()
    await loops.run()
    (run,) = await loops.runs(job)
    assert (run.status, run.status_code, run.error_message) == (outcome, status, message)
    assert len(loops.target.seen) == 1


async def test_r10_without_a_url_the_run_fails_at_once() -> None:
    """R10: no URL: failed, 0 ms, `No URL configured`."""
    result = await HttpDispatcher(AddressPolicy()).send(HttpRequest(None))
    assert (result.error, result.duration_ms) == ("No URL configured", 0)


async def test_r11_a_refused_connection_is_a_failed_run(open_live: Any) -> None:
    """R11: nobody listens: the run fails with the message, nothing is raised."""
    loops: Live = await open_live()
    job = await loops.job(action=HttpAction("http://127.0.0.1:1/"))
    await loops.run()
    (run,) = await loops.runs(job)
    assert run.status is RunStatus.FAILED
    assert (run.error_message or "").startswith("Connection failed")


async def test_r12_a_time_out_names_its_limit(open_live: Any) -> None:
    """R12: 10 ms acts as 1000 ms, the request is cancelled, the message names the limit; unset it is 30 s."""
    loops: Live = await open_live()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        job = await loops.job(action=HttpAction(f"http://127.0.0.1:{port}/", timeout=timedelta(milliseconds=10)))
        await loops.run()
    (run,) = await loops.runs(job)
    assert run.error_message == "Request timed out after 1000ms"
    assert HttpAction("x").timeout == timedelta(seconds=30)


async def test_r13_method_body_and_headers(open_live: Any) -> None:
    """R13: GET by default and without a body; a POST's JSON has its type, unless the user named one."""
    loops: Live = await open_live()
    await loops.job(action=HttpAction(loops.target.url, body_json={"a": 1}))
    await loops.job(action=HttpAction(loops.target.url, "POST", {}, {"a": 1}))
    await loops.job(action=HttpAction(loops.target.url, "PUT", {"Content-Type": "text/x"}, {"a": 1}))
    await loops.run()
    seen = {method: (headers.get("content-type"), body) for method, _, headers, body in loops.target.seen}
    assert seen == {
        "GET": (None, b""),
        "POST": ("application/json", b'{"a":1}'),
        "PUT": ("text/x", b'{"a":1}'),
    }


async def test_r14_durations_are_measured(open_live: Any) -> None:
    """R14: a server that takes 200 ms measures at least 200 ms; the time to the headers is kept apart."""
    loops: Live = await open_live()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    job = await loops.job(action=HttpAction(f"http://127.0.0.1:{port}/"))
    await loops.run()
    server.close()
    (run,) = await loops.runs(job)
    assert run.duration_ms is not None
    assert run.headers_ms is not None
    assert 200 <= run.headers_ms <= run.duration_ms


async def test_r15_the_system_clock() -> None:
    """R15: aware, in UTC; sleeping awaits."""
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01


def test_r16_a_scripted_model_through_the_real_wiring(system: System) -> None:
    """R16: a scripted model, asked by a real worker process, steers a job; the process exits 0."""
    from tests.loopback_model import loopback_model

    with loopback_model([proposing("propose_interval", interval_ms=5000, ttl_ms=600_000)]) as model:
        worker = system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=model.url)
        job = system.register(baselineIntervalMs=60_000)
        wait_for("the hint to be in force", lambda: system.explanation(job)["source"] == "hint_interval")
        assert worker.stop() == 0


async def test_r19_one_broken_row_harms_nobody(open_live: Any) -> None:
    """R19: one job that cannot be decided is parked; the others run and the loop lives."""
    loops: Live = await open_live()
    broken, healthy = await loops.job(baseline=CronBaseline("0 0 * * *")), await loops.job()
    async with loops.engine.begin() as connection:
        where = text("UPDATE job_versions SET cron_expression = 'nonsense' WHERE job_id = :id")
        await connection.execute(where, {"id": broken.id})
        await connection.execute(text("UPDATE schedules SET slot_at = now(), ready_at = now()"))
    await loops.run()
    assert [run.status for run in await loops.runs(healthy)] == [RunStatus.SUCCEEDED]
    parked = await loops.store.job(loops.tenant, broken.id)
    assert parked.schedule.status is JobStatus.PARKED
    assert "nonsense" in (parked.schedule.parked_reason or "")


def test_r20_every_line_is_json(system: System) -> None:
    """R20: every line of every process parses as JSON in production; tests/acceptance/test_processes.py goes deeper."""
    import json

    worker = system.start("worker")
    job = system.register(baselineIntervalMs=60_000)
    wait_for("a run", lambda: system.runs(job))
    worker.stop()
    system.processes["api"].stop()
    for process in system.processes.values():
        lines = process.output().splitlines()
        assert lines
        assert all(isinstance(json.loads(line), dict) for line in lines)


def test_r34_posting_a_job(system: System) -> None:
    """R34: 401 without a key, 201 with one; a bad URL or no baseline is 400."""
    job = {"name": "Test Job", "url": "https://example.com", "baselineIntervalMs": 60000}
    assert system.api("POST", "/jobs", job, key=None).status == 401
    assert system.api("POST", "/jobs", job).status == 201
    assert system.api("POST", "/jobs", {**job, "url": "nonsense"}).status == 400
    assert system.api("POST", "/jobs", {"name": "x", "url": "https://example.com"}).status == 400


def test_r39_health(system: System) -> None:
    """R39: 200 without a key, with status and timestamp; readiness asks the database."""
    health = system.api("GET", "/health", key=None)
    assert (health.status, health.body["status"]) == (200, "ok")
    assert datetime.fromisoformat(health.body["timestamp"])


async def test_r40_an_interval_takes_effect_and_reverts(open_live: Any) -> None:
    """R40: propose_interval takes effect at the next decision and reverts at its end."""
    loops: Live = await open_live(proposing("propose_interval", interval_ms=5000, ttl_ms=2000), {"text": "Nothing."})
    job = await loops.job()
    await loops.turn()
    decision = await loops.decision(job)
    assert decision.source is Source.BASELINE_INTERVAL  # its run would come after its end, so it never rules
    assert "expires first" in decision.reason
    job = await loops.job()
    loops.model.script[:] = [
        proposing("propose_interval", interval_ms=5000, ttl_ms=600_000),
        {"text": "Nothing."},
    ]
    await loops.turn()
    assert (await loops.decision(job)).source is Source.HINT_INTERVAL
    async with loops.engine.begin() as connection:
        await connection.execute(text("UPDATE hints SET expires_at = now() + interval '1 ms'"))
    await asyncio.sleep(0.01)
    await loops.jobs.run_now(loops.tenant, job.id)
    await loops.run()
    assert (await loops.decision(job)).source is Source.BASELINE_INTERVAL


async def test_r41_a_next_time_runs_once(open_live: Any) -> None:
    """R41: propose_next_time runs once at that time, then not again."""
    loops: Live = await open_live(proposing("propose_next_time", at=in_s(3)), {"text": "Nothing."})
    job = await loops.job()
    await loops.turn()
    hint = await loops.the_hint(job)
    assert (await loops.decision(job)).next_run_at == hint.at
    assert hint.at is not None
    await asyncio.sleep(max(0.0, (hint.at - datetime.now(UTC)).total_seconds()) + 0.05)
    await loops.turn()
    runs = await loops.runs(job)
    assert [run.scheduled_for for run in runs][1:] == [hint.at]
    assert (await loops.the_hint(job)).state is HintState.CONSUMED
    assert (await loops.decision(job)).source is Source.BASELINE_INTERVAL


async def test_r42_a_pause_is_bounded_and_null_resumes(open_live: Any) -> None:
    """R42: pause_until pauses, with a probe at its end; null ends the planner's own pause; beyond a day is refused."""
    loops: Live = await open_live(
        proposing("pause_until", until=in_s(999_999)),
        proposing("pause_until", until=in_s(600)),
        proposing("pause_until", until=None),
    )
    job = await loops.job()
    await loops.turn()
    paused = await loops.store.job(loops.tenant, job.id)
    assert paused.schedule.status is JobStatus.PAUSED
    assert paused.schedule.slot is not None
    assert paused.schedule.slot.kind is SlotKind.PROBE
    assert "too far ahead" in str(loops.model.requests[1]["body"]["messages"][-1])
    await loops.plans.plan_now(loops.tenant, job.id)
    resumed = await loops.store.job(loops.tenant, job.id)
    assert resumed.schedule.status is JobStatus.ACTIVE


async def test_r43_a_hint_written_during_a_run_affects_its_decision(open_live: Any) -> None:
    """R43: what is written while the request is out counts when its run settles."""
    loops: Live = await open_live()
    job = await loops.job()
    await loops.worker.run_once()
    wish = HintDraft(HintKind.INTERVAL, "now", timedelta(seconds=7))
    await loops.hints.write(loops.tenant, job.id, wish)
    await loops.worker.drain(20)
    (run,) = await loops.runs(job)
    assert run.decision is not None
    assert run.decision.source is Source.HINT_INTERVAL


async def test_r44_failures_count_before_the_decision(open_live: Any) -> None:
    """R44: a failure counts before the next run is set, a success resets."""
    loops: Live = await open_live()
    loops.target.reply = (500, {}, b"")
    job = await loops.job()
    await loops.run()
    failed = await loops.store.job(loops.tenant, job.id)
    assert (failed.schedule.failures, (await loops.decision(job)).source) == (1, Source.BACKOFF)
    loops.target.reply = (200, {}, b"")
    await loops.jobs.run_now(loops.tenant, job.id)
    await loops.run()
    assert (await loops.store.job(loops.tenant, job.id)).schedule.failures == 0


async def test_r45_without_quota_no_model_is_asked(open_live: Any) -> None:
    """R45: when can_proceed says no, there are no model requests, and the session says so."""
    loops: Live = await open_live()
    async with loops.engine.begin() as connection:
        await connection.execute(text("UPDATE tenants SET tokens_per_day = 10"))
    job = await loops.job()
    await loops.turn()
    assert loops.model.requests == []
    (session,) = (await loops.store.sessions(loops.tenant, job_id=job.id, limit=9)).items
    assert "tokens_per_day" in (session.plan.error or "")


async def test_r46_caps_of_a_day_and_a_month_hold_under_twenty_concurrent_sessions(open_live: Any) -> None:
    """R46: daily and monthly token caps of a tenant hold under 20 sessions at once; twenty processes do so in
    tests/integration/test_quota.py."""
    loops: Live = await open_live()
    for name in ("tokens_per_day", "tokens_per_month"):
        async with loops.engine.begin() as connection:
            await connection.execute(text("DELETE FROM quota_windows"))
            await connection.execute(text("UPDATE tenants SET tokens_per_day = 500000, tokens_per_month = 10000000"))
            await connection.execute(text(f"UPDATE tenants SET {name} = 3500"))
        asked = (loops.quota.can_proceed(loops.tenant, f"job_{n}", tokens=1000) for n in range(20))
        answers = await asyncio.gather(*asked)
        assert sum(isinstance(answer, Reservation) for answer in answers) == 3


async def test_r51_planning_a_baseline_and_a_quota_switch_without_a_deploy(open_live: Any) -> None:
    """R51: planning on and off, cron for interval, and a tenant's quota are rows that the next decision or session reads;
    tests/acceptance/test_planning.py switches running processes."""
    loops: Live = await open_live(proposing("propose_interval", interval_ms=5000, ttl_ms=600_000), {"text": "Nothing."})
    job = await loops.job()
    flags = PostgresFlags(loops.engine)
    switch = TurnSwitches(loops.store, flags, loops.worker.cron)
    await switch.turn(loops.tenant, "off", by="usr")
    await loops.turn()
    assert loops.model.requests == []
    await switch.turn(loops.tenant, "on", by="usr")
    await loops.jobs.run_now(loops.tenant, job.id)
    await loops.turn()
    assert (await loops.decision(job)).source is Source.HINT_INTERVAL
    cron = CronBaseline("0 0 1 1 *")
    await loops.jobs.edit(loops.tenant, job.id, lambda old: replace(old, baseline=cron, planner=PlannerMode.OFF))
    assert (await loops.decision(job)).source is Source.BASELINE_CRON
    asked = len(loops.model.requests)
    await loops.jobs.edit(loops.tenant, job.id, lambda old: replace(old, planner=PlannerMode.ON))
    await PostgresAllowances(loops.engine).set({"tokens_per_day": 1}, tenant=loops.tenant)
    await loops.jobs.run_now(loops.tenant, job.id)
    await loops.turn()
    assert len(loops.model.requests) == asked


def test_r47_metrics_of_claims_durations_failures_and_tool_calls(system: System) -> None:
    """R47: they are scraped in Prometheus text from the worker."""
    from tests.loopback_model import loopback_model
    from tests.processes import call

    system.target.reply = (500, {}, b"")
    with loopback_model([proposing("propose_interval", interval_ms=5000, ttl_ms=600_000)]) as model:
        system.start("worker", RUBATO_PLANNER="llm", OPENAI_API_KEY="none", OPENAI_BASE_URL=model.url)
        job = system.register(baselineIntervalMs=60_000)
        wait_for("a session", lambda: system.api("GET", f"/jobs/{job['id']}/sessions").body["data"])
        address = f"http://127.0.0.1:{system.env['RUBATO_WORKER_PORT']}/metrics"
        scrape = partial(call, "GET", address)
        body = wait_for(
            "the tool call's metric", lambda: text_of(scrape()) if "propose_interval" in text_of(scrape()) else None
        )
    for line in (
        "rubato_jobs_claimed_total 1.0",
        'rubato_runs_total{outcome="failed",trigger="scheduled"} 1.0',
        "rubato_run_duration_seconds_count 1.0",
        'rubato_planner_tool_calls_total{outcome="accepted",tool="propose_interval"} 1.0',
        'rubato_planner_sessions_total{outcome="completed"} 1.0',
    ):
        assert line in body


def text_of(answer: Any) -> str:
    return str(answer.body)


async def test_a_once_job_in_the_past_is_refused(open_live: Any) -> None:
    """R34: a runAt that lies in the past is refused by the use case itself, whoever calls it."""
    loops: Live = await open_live()
    with pytest.raises(InvalidInput, match="past"):
        await loops.job(baseline=OnceBaseline(datetime.now(UTC) - timedelta(hours=1)))
    with target() as served:
        assert served.seen == []
