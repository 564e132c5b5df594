"""The event port: one record in, a metric and a log line out. Metrics are never labelled by job, tenant or address."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core.errors import RubatoError
from core.events import (
    ClockChecked,
    Event,
    HintWritten,
    JobParked,
    JobsClaimed,
    LeaseExpired,
    LoopFailed,
    LoopTurned,
    QuotaDenied,
    RulesMatched,
    RunSettled,
    RunsSkipped,
    RunStarted,
    SessionEnded,
    StaleWriteRefused,
)
from core.ports.clock import Clock
from core.ports.store import Backlog

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Telemetry:
    """Metrics and log lines of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tells_all = logging.getLogger("rubato").isEnabledFor(logging.DEBUG)
        self._run_counters: dict[tuple[str, str], Counter] = {}
        self._gate_counters: dict[str, Counter] = {}
        self._watched: list[Callable[[], int]] = []
        self._log = structlog.get_logger("rubato")
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of no use here
        r: dict[str, Any] = {"registry": self.registry}
        self._runs = Counter("rubato_runs", "Runs that ended.", ["outcome", "trigger"], **r)
        self._run_s = Histogram("rubato_run_duration_seconds", "Whole exchange of a run.", buckets=_SECONDS, **r)
        self._delay_s = Histogram(
            "rubato_schedule_delay_seconds", "From a run's slot to its start.", buckets=_SECONDS, **r
        )
        self._skipped = Counter("rubato_runs_skipped", "Slots recorded as skipped.", ["reason"], **r)
        self._claimed = Counter("rubato_jobs_claimed", "Jobs leased by this process.", **r)
        self._expired = Counter("rubato_leases_expired", "Runs taken over from a lost worker.", **r)
        self._refused = Counter("rubato_stale_writes_refused", "Writes under a superseded lease.", **r)
        self._hints = Counter(
            "rubato_hints", "Hints that planners and rules wrote.", ["kind", "author", "outcome"], **r
        )
        self._matches = Counter("rubato_rule_matches", "Rules whose condition a settled run met.", **r)
        self._clamps = Counter("rubato_governor_clamps", "Bounds that moved an instant.", ["bound", "source"], **r)
        self._gate = Counter("rubato_planner_gate", "Settled runs by the gate's verdict.", ["verdict"], **r)
        self._sessions = Counter("rubato_planner_sessions", "Planner sessions.", ["outcome"], **r)
        self._calls = Counter("rubato_planner_tool_calls", "Tool calls of planners.", ["tool", "outcome"], **r)
        self._tokens = Counter("rubato_planner_tokens", "Tokens of planner sessions.", ["model", "type"], **r)
        self._cost = Counter("rubato_planner_cost_usd", "Cost of sessions whose model has a price.", ["model"], **r)
        self._plan_s = Histogram("rubato_planner_duration_seconds", "Whole planner session.", buckets=_SECONDS, **r)
        self._denials = Counter("rubato_quota_denials", "Sessions that the quota refused.", ["reason"], **r)
        self._breakers = Gauge("rubato_planner_breaker_open", "Breakers that keep model requests back.", **r)
        self._due = Gauge("rubato_due_jobs", "Jobs that are due and not leased.", **r)
        self._due_age = Gauge("rubato_oldest_due_age_seconds", "Age of the oldest due job.", **r)
        self._skew = Gauge("rubato_clock_skew_seconds", "This host's clock less the database's.", **r)
        self._quota_used = Gauge("rubato_quota_used_ratio_max", "The fullest of all tenants' open allowances.", **r)
        self._parked = Gauge("rubato_jobs_parked", "Jobs set aside because they could not be decided.", **r)
        self._tick = Gauge("rubato_last_tick_timestamp_seconds", "Last finished turn of a loop.", ["role"], **r)
        self._http_s = Histogram(
            "rubato_http_request_duration_seconds",
            "API requests.",
            ["method", "route", "code_class"],
            buckets=_SECONDS,
            **r,
        )

    def emit(self, event: Event) -> None:
        """Take one event; never raises, never blocks."""
        match event:
            case RunSettled():
                self._run_settled(event)
            case RunStarted():
                self._delay_s.observe(max(0.0, event.delay_s))
            case RunsSkipped():
                self._skipped.labels(event.reason).inc(event.count)
                self._log.info("slots skipped", reason=event.reason, count=event.count, job_id=event.job_id)
            case ClockChecked():
                self._skew.set(event.ahead_s)
            case JobsClaimed():
                self._claimed.inc(event.count)
            case LeaseExpired():
                self._expired.inc()
                self._log.warning("took over a lost run", job_id=event.job_id, run_id=event.run_id)
            case StaleWriteRefused():
                self._refused.inc()
                self._log.warning("stale write refused", what=event.what, job_id=event.job_id)
            case HintWritten():
                self._hints.labels(event.kind, event.author, event.outcome).inc()
            case RulesMatched():
                self._matches.inc(event.count)
            case SessionEnded():
                self._session_ended(event)
            case QuotaDenied():
                self._denials.labels(event.reason).inc()
            case JobParked():
                self._log.error("job parked", job_id=event.job_id, reason=event.reason)
            case LoopTurned():
                self._tick.labels(event.role).set(self._clock.now().timestamp())
            case LoopFailed():
                self._log.error("a turn failed; the loop goes on", role=event.role, error=event.error)

    def watch_breakers(self, count: Callable[[], int]) -> None:
        """Show how many breakers of this process's planners are open; `rubato dev` has two planners."""
        self._watched.append(count)
        self._breakers.set_function(lambda: sum(each() for each in self._watched))

    def observe_http(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """Record one API request."""
        self._http_s.labels(_known_method(method), route, f"{status // 100}xx").observe(duration_s)

    def exposition(self, backlog: Callable[[], Awaitable[Backlog]]) -> Callable[[], Awaitable[tuple[bytes, str]]]:
        """Return what renders the metrics, with gauges read from the database at that moment."""

        async def render() -> tuple[bytes, str]:
            try:
                waiting = await backlog()
            except RubatoError:
                waiting = None
            if waiting is not None:
                self._due.set(waiting.due_jobs)
                self._due_age.set(waiting.oldest_due_age_s)
                self._parked.set(waiting.parked_jobs)
                self._quota_used.set(waiting.quota_used)
            return generate_latest(self.registry), CONTENT_TYPE_LATEST

        return render

    def _run_settled(self, event: RunSettled) -> None:
        self._count_run(event.outcome, event.trigger)
        self._run_s.observe(event.duration_s)
        if event.gate is not None:
            self._count_verdict(event.gate)
        for bound, source in event.clamps:
            self._clamps.labels(bound, source).inc()
        if event.outcome == "succeeded" and not self._tells_all:
            return  # thousands a second, and each stands in the database
        self._log.info(
            "run settled",
            outcome=event.outcome,
            trigger=event.trigger,
            duration_ms=round(event.duration_s * 1000),
            next=event.next_source,
            tenant_id=event.tenant_id,
            job_id=event.job_id,
            run_id=event.run_id,
            error=event.error,
        )

    def _count_run(self, outcome: str, trigger: str) -> None:
        counter = self._run_counters.get((outcome, trigger))
        if counter is None:
            counter = self._run_counters[outcome, trigger] = self._runs.labels(outcome, trigger)
        counter.inc()

    def _count_verdict(self, verdict: str) -> None:
        counter = self._gate_counters.get(verdict)
        if counter is None:
            counter = self._gate_counters[verdict] = self._gate.labels(verdict)
        counter.inc()

    def _session_ended(self, event: SessionEnded) -> None:
        self._sessions.labels(event.outcome).inc()
        self._plan_s.observe(event.duration_s)
        for tool, verdict in event.tool_calls:
            self._calls.labels(tool, verdict).inc()
        if event.woken_by == "asked":
            self._count_verdict(event.woken_by)
        if event.cost_usd:
            self._cost.labels(event.model).inc(event.cost_usd)
        if event.input_tokens or event.output_tokens:
            self._tokens.labels(event.model, "input").inc(event.input_tokens)
            self._tokens.labels(event.model, "output").inc(event.output_tokens)
        self._log.info(
            "planner session",
            outcome=event.outcome,
            model=event.model,
            tools=[f"{tool}: {verdict}" for tool, verdict in event.tool_calls],
            tokens=event.input_tokens + event.output_tokens,
            tenant_id=event.tenant_id,
            job_id=event.job_id,
            session_id=event.session_id,
            error=event.error,
        )


def _known_method(method: str) -> str:
    return method if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "other"
