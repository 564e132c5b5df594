"""Between core's values and rows: one pair of functions a noun. Durations become milliseconds."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from core.entities import (
    Action,
    Attempt,
    Author,
    Authority,
    Baseline,
    Bounds,
    Candidate,
    Catchup,
    Clamp,
    CronBaseline,
    Decision,
    Definition,
    Delivery,
    Entry,
    Handled,
    Hint,
    HintKind,
    HintState,
    HttpAction,
    IntervalBaseline,
    JobStatus,
    Lease,
    Limits,
    ManualRequest,
    OnceBaseline,
    PlannerMode,
    Planning,
    RuleProgress,
    Run,
    RunStatus,
    Schedule,
    Slot,
    SlotKind,
    Source,
    Success,
    TargetAction,
    Trigger,
)
from core.ids import bucket_of
from core.modes import lowest

Row = Mapping[Any, Any]

_MS = timedelta(milliseconds=1)


# Members by value: a look-up costs a tenth of calling the enum, and the run loop reads these at every run.
_SOURCES = {each.value: each for each in Source}
_SLOT_KINDS = {each.value: each for each in SlotKind}
_JOB_STATUSES = {each.value: each for each in JobStatus}


def ms(value: timedelta | None) -> int | None:
    """Return a duration in whole milliseconds."""
    return None if value is None else value // _MS


def span(value: int | None) -> timedelta | None:
    """Return milliseconds as a duration."""
    return None if value is None else value * _MS


def key(tenant_id: str, job_id: str) -> dict[str, Any]:
    """Return the columns that every row of a job is found by."""
    return {"tenant_id": tenant_id, "bucket": bucket_of(job_id), "job_id": job_id}


def limits_from(row: Row, operator_minimum: timedelta) -> Limits:
    """Read a tenant's limits."""
    return Limits(
        operator_minimum=operator_minimum,
        tenant_minimum=span(row["min_interval_ms"]),
        hint_lifetime=row["hint_lifetime_ms"] * _MS,
        accelerated_runs_per_day=row["accelerated_runs_per_day"],
        pause_share=row["pause_share"],
        max_jobs=row["max_jobs"],
        suspended=row["suspended_reason"],
        auto_accept_rules=row["auto_accept_rules"],
        planner=lowest(map(PlannerMode, row["planner_flags"] or ())),
        rules=not row["rules_off"],
    )


def definition_to(definition: Definition) -> dict[str, Any]:
    """Write a definition's columns."""
    bounds, baseline = definition.bounds, definition.baseline
    return {
        "version": definition.version,
        "name": definition.name,
        "key": definition.key,
        "description": definition.description,
        "group_name": definition.group,
        "labels": dict(definition.labels),
        "metadata": dict(definition.metadata),
        **_action_to(definition.action),
        **_baseline_to(baseline),
        "min_interval_ms": ms(bounds.min_interval),
        "max_interval_ms": ms(bounds.max_interval),
        "start_at": definition.start_at,
        "end_at": definition.end_at,
        "max_runs": definition.max_runs,
        "splay": definition.splay,
        "retry_after_failure_ms": ms(definition.retry_after_failure),
        "catchup": definition.catchup.value,
        "delivery": definition.delivery.value,
        "success": _success_to(definition.success),
        "may_tighten": definition.authority.tighten,
        "may_relax": definition.authority.relax,
        "may_pause": definition.authority.pause,
        "planner": definition.planner.value,
        "store_responses": definition.store_responses,
    }


def definition_from(row: Row) -> Definition:
    """Read a definition."""
    return Definition(
        name=row["name"],
        action=_action_from(row),
        baseline=_baseline_from(row),
        version=row["version"],
        key=row["key"],
        description=row["description"],
        group=row["group_name"],
        labels=row["labels"],
        metadata=row["metadata"],
        bounds=Bounds(span(row["min_interval_ms"]), span(row["max_interval_ms"])),
        start_at=row["start_at"],
        end_at=row["end_at"],
        max_runs=row["max_runs"],
        splay=row["splay"],
        retry_after_failure=span(row["retry_after_failure_ms"]),
        catchup=Catchup(row["catchup"]),
        delivery=Delivery(row["delivery"]),
        success=_success_from(row["success"]),
        authority=Authority(row["may_tighten"], row["may_relax"], row["may_pause"]),
        planner=PlannerMode(row["planner"]),
        store_responses=row["store_responses"],
    )


def schedule_to(schedule: Schedule, version: int) -> dict[str, Any]:
    """Write a schedule's columns."""
    slot, lease, manual, planning = schedule.slot, schedule.lease, schedule.manual, schedule.planning
    return {
        "version": version,
        "ready_at": schedule.ready_at,
        "status": schedule.status.value,
        "token": schedule.token,
        "slot_at": slot.at if slot else None,
        "slot_source": slot.source.value if slot else None,
        "slot_kind": slot.kind.value if slot else None,
        "slot_hint_id": slot.hint_id if slot else None,
        "slot_handles_through": slot.handles_through if slot else None,
        "slot_accelerated": slot.accelerated if slot else False,
        "lease_worker": lease.worker_id if lease else None,
        "lease_until": lease.until if lease else None,
        "lease_run_id": lease.run_id if lease else None,
        "manual_run_id": manual.run_id if manual else None,
        "manual_at": manual.at if manual else None,
        "created_at": schedule.created_at,
        "grid_epoch": schedule.grid_epoch,
        "handled_through": schedule.handled_through,
        "last_slot_at": schedule.last_slot_at,
        "last_start_at": schedule.last_start_at,
        "edited_at": schedule.edited_at,
        "resumed_at": schedule.resumed_at,
        "retry_at": schedule.retry_at,
        "failures": schedule.failures,
        "failed_runs": schedule.failed_runs,
        "counted_runs": schedule.counted_runs,
        "accelerated_on": schedule.accelerated_on,
        "accelerated_runs": schedule.accelerated_runs,
        "paused_until": schedule.paused_until,
        "pause_reason": schedule.pause_reason,
        "paused_by": schedule.paused_by.value if schedule.paused_by else None,
        "parked_until": schedule.parked_until,
        "parked_reason": schedule.parked_reason,
        "plan_seq": planning.seq,
        "plan_done_seq": planning.done_seq,
        "plan_token": planning.token,
        "plan_ready_at": planning.ready_at,
        "plan_last_run_at": planning.last_run_at,
        "rules_seq": schedule.rules_seq,
        "rule_progress": progress_to(schedule.rule_progress) if schedule.rule_progress else None,
        "plan_analysis_at": planning.next_analysis_at,
        "plan_gate": planning.gate,
    }


def schedule_from(row: Row) -> Schedule:
    """Read a schedule."""
    slot = None
    if row["slot_at"] is not None:
        slot = Slot(
            at=row["slot_at"],
            source=_SOURCES[row["slot_source"]],
            kind=_SLOT_KINDS[row["slot_kind"]],
            hint_id=row["slot_hint_id"],
            handles_through=row["slot_handles_through"],
            accelerated=row["slot_accelerated"],
        )
    lease = Lease(row["lease_worker"], row["lease_until"], row["lease_run_id"] or "") if row["lease_until"] else None
    manual = ManualRequest(row["manual_run_id"], row["manual_at"]) if row["manual_run_id"] else None
    return Schedule(
        created_at=row["created_at"],
        grid_epoch=row["grid_epoch"],
        status=_JOB_STATUSES[row["status"]],
        slot=slot,
        token=row["token"],
        lease=lease,
        manual=manual,
        handled_through=row["handled_through"],
        last_slot_at=row["last_slot_at"],
        last_start_at=row["last_start_at"],
        edited_at=row["edited_at"],
        resumed_at=row["resumed_at"],
        retry_at=row["retry_at"],
        failures=row["failures"],
        failed_runs=row["failed_runs"],
        counted_runs=row["counted_runs"],
        accelerated_on=row["accelerated_on"],
        accelerated_runs=row["accelerated_runs"],
        paused_until=row["paused_until"],
        pause_reason=row["pause_reason"],
        paused_by=Author(row["paused_by"]) if row["paused_by"] else None,
        parked_until=row["parked_until"],
        parked_reason=row["parked_reason"],
        planning=Planning(
            seq=row["plan_seq"],
            done_seq=row["plan_done_seq"],
            token=row["plan_token"],
            ready_at=row["plan_ready_at"],
            last_run_at=row["plan_last_run_at"],
            next_analysis_at=row["plan_analysis_at"],
            gate=row["plan_gate"] or b"",
        ),
        rules_seq=row["rules_seq"],
        rule_progress=progress_from(row["rule_progress"]) if row["rule_progress"] else {},
    )


def progress_to(progress: Mapping[str, RuleProgress]) -> dict[str, list[Any]]:
    """Write how far rules have come: `{id: [is active, runs, since]}`."""
    return {
        rule_id: [each.is_active, each.runs, each.since.isoformat() if each.since else None]
        for rule_id, each in progress.items()
    }


def progress_from(row: Mapping[str, list[Any]]) -> dict[str, RuleProgress]:
    """Read how far rules have come."""
    return {
        rule_id: RuleProgress(is_active, runs, datetime.fromisoformat(since) if since else None)
        for rule_id, (is_active, runs, since) in row.items()
    }


_RUN_PLAIN = (
    "id",
    "tenant_id",
    "job_id",
    "scheduled_for",
    "created_at",
    "attempt",
    "job_version",
    "worker_id",
    "started_at",
    "finished_at",
    "duration_ms",
    "headers_ms",
    "status_code",
    "error_message",
    "response_excerpt",
    "response_bytes",
    "truncated",
    "retry_after",
    "skip_reason",
    "skipped_count",
    "skipped_until",
    "skipped_more",
    "discarded",
    "session_id",
    "gate",
)


def run_to(run: Run) -> dict[str, Any]:
    """Write a run's columns. Text from a target may hold NUL characters, which PostgreSQL's text does not."""
    row = {name: getattr(run, name) for name in _RUN_PLAIN}
    return {
        **row,
        "error_message": clean(run.error_message),
        "response_excerpt": clean(run.response_excerpt),
        "retry_after": clean(run.retry_after),
        "gate": clean(run.gate),
        "bucket": bucket_of(run.job_id),
        "status": run.status.value,
        "trigger": run.trigger.value,
        "kind": run.kind.value,
        "decision": run.decision,
    }


def run_from(row: Row) -> Run:
    """Read a run."""
    return Run(
        **{name: row[name] for name in _RUN_PLAIN},
        status=RunStatus(row["status"]),
        trigger=Trigger(row["trigger"]),
        kind=SlotKind(row["kind"]),
        decision=decision_from(row["decision"]) if row["decision"] else None,
    )


_ATTEMPT_PLAIN = (
    "scheduled_for",
    "tenant_id",
    "run_id",
    "worker_id",
    "attempt",
    "job_id",
    "started_at",
    "ended_at",
    "status",
    "status_code",
    "duration_ms",
    "error_message",
)


def attempt_to(attempt: Attempt) -> dict[str, Any]:
    """Write an attempt's columns."""
    row = {name: getattr(attempt, name) for name in _ATTEMPT_PLAIN}
    return {**row, "bucket": bucket_of(attempt.job_id), "error_message": clean(attempt.error_message)}


def attempt_from(row: Row) -> Attempt:
    """Read an attempt."""
    return Attempt(**{name: row[name] for name in _ATTEMPT_PLAIN})


_HINT_PLAIN = (
    "id",
    "tenant_id",
    "job_id",
    "created_at",
    "expires_at",
    "at",
    "until",
    "reason",
    "ended_at",
    "end_reason",
    "session_id",
    "rule_id",
    "proposed",
    "applied",
)


def hint_to(hint: Hint) -> dict[str, Any]:
    """Write a hint's columns."""
    return {
        **{name: getattr(hint, name) for name in _HINT_PLAIN},
        "bucket": bucket_of(hint.job_id),
        "kind": hint.kind.value,
        "author": hint.author.value,
        "state": hint.state.value,
        "interval_ms": ms(hint.interval),
    }


def hint_from(row: Row) -> Hint:
    """Read a hint."""
    return Hint(
        **{name: row[name] for name in _HINT_PLAIN},
        kind=HintKind(row["kind"]),
        author=Author(row["author"]),
        state=HintState(row["state"]),
        interval=span(row["interval_ms"]),
    )


def decision_from(row: Row) -> Decision:
    """Read a decision from the JSON that `engine.to_json` makes of it: its fields, instants as text."""
    slot, handles = row["slot"], row["handles"]
    return Decision(
        decided_at=datetime.fromisoformat(row["decided_at"]),
        source=Source(row["source"]),
        reason=row["reason"],
        slot=Slot(
            at=datetime.fromisoformat(slot["at"]),
            source=Source(slot["source"]),
            kind=SlotKind(slot["kind"]),
            hint_id=slot["hint_id"],
            handles_through=_instant(slot["handles_through"]),
            accelerated=slot["accelerated"],
        )
        if slot
        else None,
        candidates=tuple(
            Candidate(Source(each["source"]), _instant(each["at"]), each["note"], each["hint_id"])
            for each in row["candidates"]
        ),
        clamps=tuple(
            Clamp(each["bound"], datetime.fromisoformat(each["proposed"]), datetime.fromisoformat(each["applied"]))
            for each in row["clamps"]
        ),
        hint_id=row["hint_id"],
        paused_until=_instant(row["paused_until"]),
        handles=Handled(
            datetime.fromisoformat(handles["first"]), _instant(handles["last"]), handles["count"], handles["more"]
        )
        if handles
        else None,
        digest=row["digest"],
        governor_version=row["governor_version"],
        tzdata_version=row["tzdata_version"],
    )


def entry_to(entry: Entry) -> dict[str, Any]:
    """Write the columns of a line of history."""
    return {
        **key(entry.tenant_id, entry.job_id),
        "id": entry.id,
        "at": entry.at,
        "what": entry.what,
        "version": entry.version,
        "actor": entry.actor,
        "reason": clean(entry.reason),
        "changed": list(entry.changed),
    }


def entry_from(row: Row) -> Entry:
    """Read a line of history."""
    plain = ("id", "tenant_id", "job_id", "at", "what", "version", "actor", "reason")
    return Entry(**{name: row[name] for name in plain}, changed=tuple(row["changed"]))


def _action_to(action: Action) -> dict[str, Any]:
    """Write an action's columns. A target has no URL: an empty one, which no release before it would send to."""
    if isinstance(action, TargetAction):
        columns: dict[str, Any] = {"url": "", "method": "GET", "headers": {}, "body": None}
        columns |= {"secret_headers": {}, "secret_body": None}
        return {**columns, "target": action.target, "payload": action.payload, "timeout_ms": ms(action.timeout)}
    return {
        "url": action.url,
        "method": action.method,
        "headers": dict(action.headers),
        "body": action.body_json,
        "secret_headers": dict(action.sealed_headers),
        "secret_body": action.sealed_body,
        "timeout_ms": ms(action.timeout),
        "target": None,
        "payload": None,
    }


def _action_from(row: Row) -> Action:
    if row["target"] is not None:
        return TargetAction(row["target"], row["payload"], row["timeout_ms"] * _MS)
    return HttpAction(
        url=row["url"],
        method=row["method"],
        headers=row["headers"],
        body_json=row["body"],
        timeout=row["timeout_ms"] * _MS,
        sealed_headers=row["secret_headers"],
        sealed_body=row["secret_body"],
    )


def _baseline_to(baseline: Baseline) -> dict[str, Any]:
    columns: dict[str, Any] = {"cron_expression": None, "timezone": None, "interval_ms": None, "run_at": None}
    if isinstance(baseline, CronBaseline):
        return {
            **columns,
            "baseline_kind": "cron",
            "cron_expression": baseline.expression,
            "timezone": baseline.timezone,
        }
    if isinstance(baseline, IntervalBaseline):
        return {**columns, "baseline_kind": "interval", "interval_ms": ms(baseline.every)}
    return {**columns, "baseline_kind": "once", "run_at": baseline.run_at}


def _baseline_from(row: Row) -> Baseline:
    if row["baseline_kind"] == "cron":
        return CronBaseline(row["cron_expression"], row["timezone"])
    if row["baseline_kind"] == "interval":
        return IntervalBaseline(row["interval_ms"] * _MS)
    return OnceBaseline(row["run_at"])


def _success_to(success: Success) -> dict[str, Any] | None:
    if success == Success():
        return None
    return {
        "status_codes": list(success.status_codes) if success.status_codes is not None else None,
        "json_pointer": success.json_pointer,
        "equals": success.equals,
        "has_equals": success.has_equals,
    }


def _success_from(row: Row | None) -> Success:
    if row is None:
        return Success()
    codes = row["status_codes"]
    return Success(
        status_codes=tuple(codes) if codes is not None else None,
        json_pointer=row["json_pointer"],
        equals=row["equals"],
        has_equals=row["has_equals"],
    )


def clean(text: str | None) -> str | None:
    """Return a text that PostgreSQL can hold: it may have come from anywhere, and text there has no NUL."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
