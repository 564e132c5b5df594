"""Events into metrics: the published names, no label that names a job, a tenant or an address."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.errors import Unavailable
from core.events import (
    Event,
    HintWritten,
    JobParked,
    JobsClaimed,
    LeaseExpired,
    LoopFailed,
    LoopTurned,
    QuotaDenied,
    RunSettled,
    RunsSkipped,
    RunStarted,
    SessionEnded,
    StaleWriteRefused,
)
from core.ports.store import Backlog
from rubato.adapters.telemetry import Telemetry
from tests.unit.fakes import START, FakeClock

# The published names that this version feeds, with their labels.
PUBLISHED = {
    "rubato_clock_skew_seconds": set(),
    "rubato_runs_total": {"outcome", "trigger"},
    "rubato_run_duration_seconds": set(),
    "rubato_schedule_delay_seconds": set(),
    "rubato_runs_skipped_total": {"reason"},
    "rubato_jobs_claimed_total": set(),
    "rubato_leases_expired_total": set(),
    "rubato_rule_matches_total": set(),
    "rubato_stale_writes_refused_total": set(),
    "rubato_jobs_parked": set(),
    "rubato_hints_total": {"kind", "author", "outcome"},
    "rubato_governor_clamps_total": {"bound", "source"},
    "rubato_planner_gate_total": {"verdict"},
    "rubato_planner_cost_usd_total": {"model"},
    "rubato_planner_breaker_open": set(),
    "rubato_planner_sessions_total": {"outcome"},
    "rubato_planner_tool_calls_total": {"tool", "outcome"},
    "rubato_planner_tokens_total": {"model", "type"},
    "rubato_planner_duration_seconds": set(),
    "rubato_quota_denials_total": {"reason"},
    "rubato_quota_used_ratio_max": set(),
    "rubato_due_jobs": set(),
    "rubato_oldest_due_age_seconds": set(),
    "rubato_last_tick_timestamp_seconds": {"role"},
    "rubato_http_request_duration_seconds": {"method", "route", "code_class"},
}
EVENTS: tuple[Event, ...] = (
    JobsClaimed(3),
    RunStarted("tenant_a", "job_a", "run_a", "scheduled", 0.02),
    RunSettled(
        "tenant_a",
        "job_a",
        "run_a",
        outcome="succeeded",
        trigger="scheduled",
        duration_s=0.2,
        next_source="hint_interval",
        clamps=(("min_interval", "hint_interval"),),
        gate="steady",
    ),
    RunsSkipped("tenant_a", "job_a", "overlap", 4),
    LeaseExpired("tenant_a", "job_a", "run_a"),
    StaleWriteRefused("tenant_a", "job_a", "settle"),
    JobParked("tenant_a", "job_a", "a poisoned row"),
    HintWritten("tenant_a", "job_a", "interval", "planner", "active"),
    SessionEnded(
        "tenant_a",
        "job_a",
        "ses_a",
        outcome="completed",
        model="loopback",
        duration_s=1.5,
        requests=1,
        input_tokens=100,
        output_tokens=10,
        tool_calls=(("propose_interval", "accepted"),),
        woken_by="asked",
        cost_usd=0.25,
    ),
    QuotaDenied("tenant_a", "job_a", "tokens_per_day"),
    LoopTurned("run"),
    LoopFailed("plan", "RuntimeError: x"),
)


async def waiting() -> Backlog:
    return Backlog(due_jobs=2, oldest_due_age_s=1.5, parked_jobs=1, quota_used=0.5)


async def samples(telemetry: Telemetry) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return what a scrape sees: sample name -> [(labels, value)]."""
    body, media_type = await telemetry.exposition(waiting)()
    assert media_type.startswith("text/plain")
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.fixture
def telemetry() -> Telemetry:
    made = Telemetry(FakeClock())
    for event in EVENTS:
        made.emit(event)
    made.observe_http(method="GET", route="/api/v1/jobs/{job_id}", status=200, duration_s=0.01)
    return made


async def test_exactly_the_published_names_and_labels_are_served(telemetry: Telemetry) -> None:
    found: dict[str, set[str]] = {}
    for name, taken in (await samples(telemetry)).items():
        base = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        found.setdefault(base, set()).update(*(labels.keys() - {"le"} for labels, _ in taken))
    assert found == PUBLISHED


async def test_no_label_names_a_job_a_tenant_or_an_address(telemetry: Telemetry) -> None:
    body, _ = await telemetry.exposition(waiting)()
    for word in (b"job_a", b"tenant_a", b"run_a", b"ses_a", b"://"):
        assert word not in body


async def test_counts_add_up(telemetry: Telemetry) -> None:
    found = await samples(telemetry)
    assert found["rubato_jobs_claimed_total"] == [({}, 3)]
    assert found["rubato_runs_skipped_total"] == [({"reason": "overlap"}, 4)]
    assert found["rubato_runs_total"] == [({"outcome": "succeeded", "trigger": "scheduled"}, 1)]
    assert found["rubato_planner_tokens_total"] == [
        ({"model": "loopback", "type": "input"}, 100),
        ({"model": "loopback", "type": "output"}, 10),
    ]
    assert found["rubato_planner_gate_total"] == [({"verdict": "steady"}, 1), ({"verdict": "asked"}, 1)]
    assert found["rubato_planner_cost_usd_total"] == [({"model": "loopback"}, 0.25)]
    assert found["rubato_run_duration_seconds_sum"] == [({}, 0.2)]
    assert found["rubato_last_tick_timestamp_seconds"] == [({"role": "run"}, START.timestamp())]
    assert found["rubato_due_jobs"] == [({}, 2)]
    assert found["rubato_jobs_parked"] == [({}, 1)]
    assert found["rubato_quota_used_ratio_max"] == [({}, 0.5)]


async def test_a_scrape_answers_while_the_database_is_away(telemetry: Telemetry) -> None:
    async def away() -> Backlog:
        raise Unavailable("the database cannot be reached")

    body, _ = await telemetry.exposition(away)()
    assert b"rubato_runs_total" in body


async def test_unknown_methods_do_not_make_new_series(telemetry: Telemetry) -> None:
    for number in range(50):
        telemetry.observe_http(method=f"BREW{number}", route="unmatched", status=405, duration_s=0.01)
    methods = {
        labels["method"] for labels, _ in (await samples(telemetry))["rubato_http_request_duration_seconds_count"]
    }
    assert methods == {"GET", "other"}


async def test_open_breakers_of_all_planners_of_a_process_are_counted(telemetry: Telemetry) -> None:
    telemetry.watch_breakers(lambda: 2)
    telemetry.watch_breakers(lambda: 1)
    assert (await samples(telemetry))["rubato_planner_breaker_open"] == [({}, 3)]
