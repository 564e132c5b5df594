"""A real Prometheus scrapes real processes while faults are induced: each alert fires on its fault, and clears.

The rules' durations are divided so that the suite need not wait for them; `make alerts` keeps them as they are.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.acceptance.conftest import System
from tests.acceptance.test_processes import slow_target
from tests.loopback_model import LoopbackModel, loopback_model
from tests.processes import ROOT, Target, call, free_port, serves, target, wait_for
from tests.prometheus import Prometheus, prometheus

IS_LONG = bool(os.environ.get("RUBATO_TEST_LONG"))
DIVISOR = 1 if IS_LONG else 100
SLOWEST_S = 3600 if IS_LONG else 60
START_S = 60  # of a process, on a machine that has much else to do
LEAST_RANGE_S, LEAST_AGE_S, LEAST_OUTLOOK_S = 12, 4, 30
RULES = (ROOT / "deploy/prometheus/alerts.yml").read_text()
SECONDS = {"s": 1, "m": 60, "h": 3600}


def hurried(rules: str) -> str:
    """Return the rules with every duration divided; what is compared, counted and selected stays as it is."""

    def seconds(number: str, unit: str, least: float) -> int:
        return round(max(int(number) * SECONDS[unit] / DIVISOR, least))

    rules = re.sub(r"\[(\d+)([smh])\]", lambda m: f"[{seconds(m[1], m[2], LEAST_RANGE_S)}s]", rules)
    rules = re.sub(r"offset (\d+)([smh])", lambda m: f"offset {seconds(m[1], m[2], LEAST_RANGE_S)}s", rules)
    rules = re.sub(r"for: (\d+)([smh])", lambda m: f"for: {seconds(m[1], m[2], 1)}s", rules)
    rules = rules.replace(" > 60", f" > {seconds('60', 's', LEAST_AGE_S)}")
    return rules.replace("4 * 3600", str(seconds("4", "h", LEAST_OUTLOOK_S)))


def execute(database_url: str, statement: str, *args: Any) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(statement, *args)
        finally:
            await connection.close()

    asyncio.run(run())


def use_up(database_url: str, share: float) -> None:
    """Let every tenant's day have used this share of its tokens."""
    execute(
        database_url,
        "INSERT INTO quota_windows (tenant_id, name, scope, opened_at, closes_at, used) "
        "SELECT id, 'tokens_per_day', '', date_trunc('day', now(), 'UTC'), "
        "date_trunc('day', now(), 'UTC') + interval '1 day', (tokens_per_day * $1::float8)::bigint FROM tenants "
        "ON CONFLICT (tenant_id, name, scope, opened_at) DO UPDATE SET used = excluded.used, reserved = 0",
        share,
    )


def fires(watch: Prometheus, *names: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until these fire."""

    def look() -> bool:
        meanwhile()
        return set(names) <= watch.firing()

    try:
        wait_for(f"{names} to fire", look, within_s=SLOWEST_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; now: {watch.alerts()}") from None


def clears(watch: Prometheus, *names: str) -> None:
    """Wait until none of these is left."""
    try:
        wait_for(f"{names} to clear", lambda: not set(names) & watch.alerts().keys(), within_s=SLOWEST_S)
    except AssertionError as error:
        raise AssertionError(f"{error}; now: {watch.alerts()}") from None


@pytest.fixture
def wrong_model() -> Any:
    """Serve a model that calls a tool there is none of."""
    with loopback_model([{"tool": ["no_such_tool", {}]}]) as model:
        yield model


def skewed(folder: Path, by_s: float) -> str:
    """Return a module path on which a process's clock is wrong."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "from datetime import timedelta\n"
        "from rubato.adapters.clock import SystemClock\n"
        "true = SystemClock.now\n"
        f"SystemClock.now = lambda self: true(self) + timedelta(seconds={by_s})\n"
    )
    return f"{folder}{os.pathsep}{ROOT}"


@pytest.mark.skipif(
    not IS_LONG and "RUBATO_TEST_ALERTS" not in os.environ,
    reason="it induces a dozen faults, for minutes: RUBATO_TEST_ALERTS=1 makes it hurry, `make alerts` takes real durations",
)
@pytest.mark.timeout(6 * 3600 if IS_LONG else 900)
def test_each_alert_fires_on_its_fault_and_clears(system: System, wrong_model: LoopbackModel, tmp_path: Path) -> None:
    """R47, R53: a real Prometheus scrapes a real deployment; induced faults fire alerts, mending clears them."""
    url = system.env["DATABASE_URL"]
    ports = {name: free_port() for name in ("first", "second", "wrong")}
    system.env.update(RUBATO_PLANNER="llm", OPENAI_BASE_URL=wrong_model.url, LOCK_TTL_MS="10000")
    system.processes["api"].stop()
    system.start("api")

    def worker(name: str, **env: str) -> None:
        system.start(name, "worker", "--only", "run", RUBATO_WORKER_PORT=str(ports[name]), **env)
        wait_for(f"the {name} worker", serves(f"http://127.0.0.1:{ports[name]}/readyz"), within_s=START_S)

    wait_for("the API", serves(f"{system.url}/readyz"), within_s=START_S)
    assert (
        call("GET", f"{system.url}/metrics").status == 200
    )  # it shows the figures from now on: it outlives the worker
    worker("first")
    scraped = {
        "rubato-api": [system.url.removeprefix("http://")],
        "rubato-worker": [f"127.0.0.1:{port}" for port in ports.values()],
    }
    rules = hurried(RULES).replace('up{job=~"rubato.*"}', f'up{{instance="127.0.0.1:{ports["first"]}"}}')
    with ExitStack() as stack:
        interval = "15s" if IS_LONG else "500ms"
        watch = stack.enter_context(prometheus(tmp_path / "prometheus", rules, scraped, interval=interval))
        wait_for("a first look", lambda: watch.query("rubato_due_jobs"))
        assert watch.firing() <= {"RubatoSchedulerStalled"}  # until the first scrape of a worker
        clears(watch, "RubatoSchedulerStalled")
        shown = watch.query("rubato_oldest_due_age_seconds")
        assert len(shown) == 1, shown

        told = stack.enter_context(target())
        channel = {"name": "on call", "kind": "webhook", "address": told.url, "events": ["failing", "parked"]}
        assert system.api("POST", "/channels", channel).status == 201

        # targets fail, hints are out of bounds, the model errs, tokens run out, a job is parked
        system.target.reply = (500, {}, b"{}")
        jobs = [
            system.register(name=f"job {n}", baselineIntervalMs=60_000, minIntervalMs=1000, planner="on")
            for n in range(6)
        ]
        for job in jobs:
            hint = {"kind": "interval", "intervalMs": 1, "ttlMs": 86_400_000, "reason": "as often as can be"}
            assert system.api("POST", f"/jobs/{job['id']}/hints", hint).status == 201
        parked = system.register(name="parked", baselineIntervalMs=3_600_000, startAt=soon(3600))
        execute(
            url,
            "UPDATE schedules SET status = 'parked', parked_until = now() + interval '1 day', parked_reason = 'a test' "
            "WHERE job_id = $1",
            parked["id"],
        )
        with ThreadPoolExecutor(4) as people:
            asked = people.map(lambda job: system.api("POST", f"/jobs/{job['id']}/plan").status, jobs[:4])
            assert all(status in (200, 201) for status in asked)
        fires(watch, "RubatoPlannerErroring")
        share = 0.3

        def use_more() -> None:
            nonlocal share
            share = min(share + 0.004 / (DIVISOR if IS_LONG else 1), 0.95)
            use_up(url, share)

        fires(watch, "RubatoQuotaAheadOfPace", meanwhile=use_more)
        use_up(url, 1.02)
        fires(
            watch,
            "RubatoFailureSpike",
            "RubatoClampShareHigh",
            "RubatoJobsParked",
            "RubatoQuotaOverrun",
        )

        kinds = {"notice.failing", "notice.parked"}
        wait_for("the tenant to be told", lambda: kinds <= told_kinds(told), within_s=SLOWEST_S)

        # a clock is wrong
        worker("wrong", PYTHONPATH=skewed(tmp_path / "skewed", 3.0))
        fires(watch, "RubatoClockSkew")
        assert system.processes["wrong"].stop() == 0

        # the worker dies with runs out, and nobody is there for a while
        system.target.reply = (200, {}, b"{}")
        use_up(url, 0.1)
        execute(url, "UPDATE schedules SET parked_until = now(), ready_at = now() WHERE job_id = $1", parked["id"])
        for job in jobs:
            assert system.api("DELETE", f"/jobs/{job['id']}/hints").status == 204
        with slow_target() as slow:
            for number in range(6):
                system.register(name=f"slow {number}", url=slow.url, baselineIntervalMs=3_600_000)
            wait_for("runs to be out", lambda: len(system.api("GET", "/runs?status=running").body["data"]) >= 6)
            system.processes["first"].stop(signal.SIGKILL)
            waits = system.register(name="waits", baselineIntervalMs=3_600_000)
            fires(watch, "RubatoSchedulerStalled", "RubatoDueAgeHigh", "RubatoProcessDown")
            slow.answer.set()
            worker("second")

            def be_late() -> None:
                execute(
                    url,
                    "UPDATE schedules SET slot_at = now() - interval '9 s', ready_at = now() - interval '9 s' "
                    "WHERE job_id = $1 AND lease_until IS NULL",
                    waits["id"],
                )

            fires(watch, "RubatoLatenessHigh", "RubatoLeasesExpiring", meanwhile=be_late)

        clears(
            watch,
            "RubatoSchedulerStalled",
            "RubatoDueAgeHigh",
            "RubatoFailureSpike",
            "RubatoClampShareHigh",
            "RubatoPlannerErroring",
            "RubatoJobsParked",
            "RubatoQuotaOverrun",
            "RubatoQuotaAheadOfPace",
            "RubatoLatenessHigh",
            "RubatoLeasesExpiring",
            "RubatoClockSkew",
        )
        assert len(watch.query("rubato_due_jobs")) == 1


def told_kinds(receiver: Target) -> set[str]:
    """Return what a channel has been told of."""
    return {json.loads(body)["type"] for _, _, _, body in receiver.seen}


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
