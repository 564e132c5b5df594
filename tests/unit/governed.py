"""Jobs and hints for governor tests: small makers, and Hypothesis strategies for all that the store can hold."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from core.entities import (
    Author,
    Authority,
    Bounds,
    CronBaseline,
    Decision,
    Definition,
    Hint,
    HintKind,
    HintState,
    IntervalBaseline,
    Job,
    Limits,
    OnceBaseline,
    PlannerMode,
    Schedule,
)
from core.governor import decide
from tests.unit.fakes import START, FakeCron
from tests.unit.loop import TENANT, definition

CRON = FakeCron()
LIMITS = Limits()


def s(seconds: float) -> timedelta:
    """Return a duration."""
    return timedelta(seconds=seconds)


def at(seconds: float) -> datetime:
    """Return an instant that long after START."""
    return START + s(seconds)


def job(made: Definition | None = None, **schedule: Any) -> Job:
    """Return a job created at START whose grid begins there."""
    fields = {"created_at": START, "grid_epoch": START, **schedule}
    return Job(TENANT, "job_1", made or definition(), Schedule(**fields), updated_at=START)


def hint(
    kind: HintKind = HintKind.INTERVAL,
    author: Author = Author.PLANNER,
    *,
    interval: float | None = None,
    to: float | None = None,
    created: float = 0,
    expires: float | None = 3600,
    identity: str | None = None,
    reason: str | None = None,
) -> Hint:
    """Return an active hint; `to` is the instant of a next time or the end of a pause."""
    return Hint(
        id=identity or f"hint_{author}_{kind}_{created}",
        tenant_id=TENANT,
        job_id="job_1",
        kind=kind,
        author=author,
        created_at=at(created),
        expires_at=at(expires) if expires is not None else None,
        interval=s(interval) if interval is not None else None,
        at=at(to) if kind is HintKind.NEXT_TIME and to is not None else None,
        until=at(to) if kind is HintKind.PAUSE and to is not None else None,
        reason=reason,
    )


def decided(given: Job, *hints: Hint, now: float, limits: Limits = LIMITS) -> Decision:
    """Decide at that long after START."""
    return decide(given, hints, limits, now=at(now), cron=CRON)


near = st.integers(-7200_000, 90_000_000).map(lambda ms: START + timedelta(milliseconds=ms))
spans = st.one_of(
    st.integers(1000, 7_200_000), st.sampled_from([1000, 60_000, 86_400_000, 2_592_000_000, 300_000_000_000])
).map(lambda ms: timedelta(milliseconds=ms))
maybe = st.none


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Draw any definition that registration accepts, and some that only an operator's later change makes odd."""
    kind = draw(st.sampled_from(["interval", "cron", "once"]))
    baseline: Any = (
        IntervalBaseline(draw(spans))
        if kind == "interval"
        else CronBaseline(f"every {draw(st.sampled_from([1, 7, 60, 3600, 86400]))}")
        if kind == "cron"
        else OnceBaseline(draw(near))
    )
    low, high = draw(maybe() | spans), draw(maybe() | spans)
    if low is not None and high is not None and low > high:
        low, high = high, low
    start, end = draw(maybe() | near), draw(maybe() | near)
    if start is not None and end is not None and start > end:
        start, end = end, start
    return definition(
        baseline=baseline,
        bounds=Bounds(low, high),
        start_at=start,
        end_at=end,
        max_runs=draw(maybe() | st.integers(1, 50)),
        retry_after_failure=draw(maybe() | spans),
        authority=Authority(*(draw(st.booleans()) for _ in range(3))),
        planner=draw(st.sampled_from(PlannerMode)),
    )


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw a job at any point of its life."""
    made = draw(definitions())
    last_slot = draw(maybe() | near)
    last_start = draw(maybe() | near)
    if last_slot is not None and (last_start is None or last_start < last_slot):
        last_start = last_slot
    return job(
        made,
        grid_epoch=draw(near),
        handled_through=draw(maybe() | near),
        last_slot_at=last_slot,
        last_start_at=last_start,
        edited_at=draw(maybe() | near),
        resumed_at=draw(maybe() | near),
        retry_at=draw(maybe() | near),
        failures=draw(st.integers(0, 40)),
        counted_runs=draw(st.integers(0, 60)),
        accelerated_on=draw(maybe() | near.map(lambda instant: instant.date())),
        accelerated_runs=draw(st.integers(0, 4000)),
    )


@st.composite
def hints(draw: st.DrawFn, authors: Any = Author, kinds: Any = HintKind) -> Hint:
    """Draw a hint as a session, a rule or a person may have left it."""
    kind, author = draw(st.sampled_from(list(kinds))), draw(st.sampled_from(list(authors)))
    created = draw(near)
    lifetime = draw(st.integers(1, 86_400_000)) * timedelta(milliseconds=1)
    expires: datetime | None = created + lifetime
    if author is Author.USER:
        expires = draw(st.sampled_from([None, expires]))
    goal = created + draw(st.integers(1, 86_400_000)) * timedelta(milliseconds=1)
    endless = kind is HintKind.PAUSE and author is Author.USER and draw(st.booleans())
    return Hint(
        id=f"hint_{draw(st.integers(0, 10**9)):010d}",
        tenant_id=TENANT,
        job_id="job_1",
        kind=kind,
        author=author,
        created_at=created,
        expires_at=expires,
        interval=draw(spans) if kind is HintKind.INTERVAL else None,
        at=goal if kind is HintKind.NEXT_TIME else None,
        until=None if endless or kind is not HintKind.PAUSE else goal,
        state=draw(st.sampled_from([HintState.ACTIVE, HintState.ACTIVE, HintState.ACTIVE, *HintState])),
        ended_at=draw(maybe() | near),
    )


some_hints = st.lists(hints(), max_size=5, unique_by=lambda each: each.id)
limits = st.builds(
    Limits,
    operator_minimum=st.sampled_from([timedelta(milliseconds=1), s(1), s(30)]),
    tenant_minimum=maybe() | st.sampled_from([s(1), s(45)]),
    accelerated_runs_per_day=st.sampled_from([0, 1, 2880]),
    pause_share=st.sampled_from([0.0, 0.001, 0.25, 1.0]),
    suspended=st.sampled_from([None, None, None, "unpaid"]),
)
