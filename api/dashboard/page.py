"""The page at `/`: for readers on this machine only, as `rubato dev` opens it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, select_autoescape

from api.auth import Given
from api.dashboard.band import Band, draw
from api.problems import Problem
from api.services import Services
from core.entities import (
    Author,
    CronBaseline,
    Decision,
    Definition,
    Hint,
    IntervalBaseline,
    Job,
    JobStatus,
    OnceBaseline,
    Run,
    RunStatus,
    Source,
)
from core.gate import GateVerdict
from core.ports.store import JobFilter, RunFilter
from core.sessions import Session
from core.usecases.manage_jobs import visible_status
from core.wording import duration

SHOWN_JOBS, SHOWN_RUNS, SHOWN_SESSIONS = 20, 40, 8
COUNTED_RUNS = 1000
HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MARKS = {
    RunStatus.SUCCEEDED: ("ok", "succeeded"),
    RunStatus.FAILED: ("bad", "failed"),
    RunStatus.SKIPPED: ("skip", "skipped"),
    RunStatus.UNKNOWN: ("odd", "unknown"),
    RunStatus.CANCELED: ("odd", "canceled"),
    RunStatus.RUNNING: ("live", "running"),
    RunStatus.CLAIMED: ("live", "claimed"),
}

router = APIRouter(include_in_schema=False)
_templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(), trim_blocks=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """One run in the strip: a shape and a title, never colour alone."""

    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class Card:
    """One job as the page shows it."""

    job: Job
    status: str
    baseline: str
    band: Band
    has_tempo: bool
    hint: Hint | None
    hint_words: str
    hint_left: str
    next_at: datetime | None
    next_in: str
    why: str
    clamps: tuple[str, ...]
    marks: tuple[Mark, ...]


def install(app: FastAPI) -> None:
    """Serve the page and its files."""
    app.include_router(router)
    app.mount("/dashboard/static", StaticFiles(directory=HERE / "static"), name="static")


@router.get("/", response_class=HTMLResponse)
async def page(request: Request, given: Given) -> Response:
    """Return the whole page."""
    return await _render("page.html", request, given)


@router.get("/dashboard/live", response_class=HTMLResponse)
async def live(request: Request, given: Given) -> Response:
    """Return the part of the page that changes."""
    return await _render("live.html", request, given)


async def _render(template: str, request: Request, given: Services) -> Response:
    tenant_id = _reader(request, given)
    given.identity.act_for(tenant_id)
    now = await given.store.now()
    found = await given.store.jobs(tenant_id, JobFilter(), limit=SHOWN_JOBS)
    cards = [await _card(given, job, now) for job in sorted(found.items, key=lambda job: job.id)]
    sessions = await given.store.sessions(tenant_id, limit=SHOWN_SESSIONS)
    names = {card.job.id: card.job.definition.name for card in cards}
    gate = await given.store.gate_counts(tenant_id, newest=COUNTED_RUNS)
    html = _templates.get_template(template).render(
        cards=cards,
        sessions=[
            (session, names.get(session.job_id, session.job_id), _verdicts(session)) for session in sessions.items
        ],
        now=now,
        gate=_saving(gate),
        more=found.next_cursor is not None,
    )
    return HTMLResponse(html, headers=HEADERS)


def _reader(request: Request, given: Services) -> str:
    """Return the tenant to show, to somebody on this machine; a foreign Host is a rebinding page, and refused."""
    host = request.headers.get("host", "").rsplit(":", 1)[0] if "]" not in request.headers.get("host", "") else "[::1]"
    try:
        local = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        local = False
    if given.anonymous_tenant is None or not local or host not in _LOCAL_NAMES:
        raise Problem(404, "not_found", "There is nothing at this address.")
    return given.anonymous_tenant


async def _card(given: Services, job: Job, now: datetime) -> Card:
    explained = await given.explain.explanation(job.tenant_id, job.id)
    runs = await given.store.runs(job.tenant_id, RunFilter(job_id=job.id), limit=SHOWN_RUNS)
    decision, schedule = explained.decision, explained.job.schedule
    slot, status = schedule.slot, visible_status(explained.job, now)
    hint = _hint_in_force(decision, explained.hints)
    return Card(
        job=explained.job,
        status=status.value,
        baseline=_baseline(job.definition),
        band=draw(job.definition, explained.limits, _interval(explained.job), decision),
        has_tempo=not isinstance(job.definition.baseline, OnceBaseline),
        hint=hint,
        hint_words=_hint_words(hint),
        hint_left=_left(hint.expires_at, now) if hint and hint.expires_at else "",
        next_at=slot.at if slot and status is not JobStatus.PAUSED else None,
        next_in=_left(slot.at, now) if slot else "",
        why=decision.reason,
        clamps=tuple(clamp.bound.replace("_", " ") for clamp in decision.clamps),
        marks=tuple(_mark(run) for run in reversed(runs.items)),
    )


def _hint_in_force(decision: Decision, hints: tuple[Hint, ...]) -> Hint | None:
    return next((hint for hint in hints if hint.id == decision.hint_id), hints[-1] if hints else None)


def _hint_words(hint: Hint | None) -> str:
    if hint is None:
        return ""
    author = {Author.USER: "a person", Author.RULE: "a rule", Author.PLANNER: "the planner"}[hint.author]
    if hint.interval is not None:
        return f"every {duration(hint.interval)}, says {author}"
    if hint.at is not None:
        return f"at {hint.at:%H:%M:%S} UTC, says {author}"
    return f"pause, says {author}"


def _interval(job: Job) -> timedelta | None:
    """Return how far the next run lies from the last start; on the grid, the grid's own interval."""
    slot, baseline = job.schedule.slot, job.definition.baseline
    if slot is not None and slot.source is Source.BASELINE_INTERVAL and isinstance(baseline, IntervalBaseline):
        return baseline.every
    start = job.schedule.last_start_at
    return (
        slot.at - start if slot is not None and start is not None and not isinstance(baseline, OnceBaseline) else None
    )


def _baseline(definition: Definition) -> str:
    baseline = definition.baseline
    if isinstance(baseline, CronBaseline):
        return f"cron {baseline.expression} ({baseline.timezone})"
    if isinstance(baseline, IntervalBaseline):
        return f"every {duration(baseline.every)}"
    return f"once at {baseline.run_at:%Y-%m-%d %H:%M:%S} UTC"


def _mark(run: Run) -> Mark:
    tone, word = _MARKS[run.status]
    detail = run.error_message or run.skip_reason or (f"HTTP {run.status_code}" if run.status_code else "")
    count = f" x{run.skipped_count}" if run.skipped_count and run.skipped_count > 1 else ""
    return Mark(tone, f"{run.scheduled_for:%H:%M:%S} UTC {word}{count} {detail}".strip())


def _saving(counts: Mapping[str, int]) -> str:
    """Say how many runs the gate let pass to the planner, and what for."""
    judged = sum(counts.values())
    passed = {verdict: count for verdict, count in counts.items() if GateVerdict(verdict).passes}
    if not judged:
        return "No run has been judged yet."
    words = ", ".join(f"{verdict.replace('_', ' ')} {count}" for verdict, count in sorted(passed.items()))
    spared = (judged - sum(passed.values())) / judged
    return (
        f"Of the newest {judged} runs the gate let {sum(passed.values())} pass to the planner"
        f"{f' ({words})' if words else ''}; {spared:.0%} of the sessions were spared."
    )


def _verdicts(session: Session) -> str:
    calls = [f"{call.tool}: {call.verdict}" for call in session.plan.calls]
    return ", ".join(calls) or "no proposal"


def _left(at: datetime, now: datetime) -> str:
    left = at - now
    return f"in {duration(max(left, timedelta(milliseconds=1)))}" if left > timedelta(0) else "now"
