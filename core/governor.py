"""The governor: from baseline, hints and bounds to the next run, and why. Pure and total; see docs/governor.md.

The planner proposes; this disposes. The worker, the API's explanation and forecast, the page and the evals all call
`decide`, under the job's row lock whenever the result is stored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.entities import (
    Author,
    Authority,
    Candidate,
    Clamp,
    CronBaseline,
    Decision,
    Definition,
    Handled,
    Hint,
    HintKind,
    IntervalBaseline,
    Job,
    JobStatus,
    Limits,
    OnceBaseline,
    Schedule,
    Slot,
    SlotKind,
    Source,
)
from core.grid import TICK, fire_at_or_after, fires_between, last_fire_before, later, next_fire
from core.hints import counting, pause_end, pause_left
from core.ports.cron import Cron
from core.record import evolve, record
from core.wording import duration, instant

VERSION = "1"
DEFAULT_STRETCH = 32  # an interval job without a maximum may be stretched this far: 2 ** BACKOFF_DOUBLINGS
BACKOFF_DOUBLINGS = 5

_ALL = Authority(tighten=True, relax=True, pause=True)
_BASELINE_SOURCE = {
    CronBaseline: Source.BASELINE_CRON,
    IntervalBaseline: Source.BASELINE_INTERVAL,
    OnceBaseline: Source.BASELINE_ONCE,
}
_PAUSE_SOURCE = {
    Author.USER: Source.PAUSED_USER,
    Author.RULE: Source.PAUSED_RULE,
    Author.PLANNER: Source.PAUSED_PLANNER,
}
_HINT_SOURCE = {HintKind.INTERVAL: Source.HINT_INTERVAL, HintKind.NEXT_TIME: Source.HINT_NEXT_TIME}


@record
class EffectiveBounds:
    """What a hinted instant is held to, counted from the last start. `floor_bound` names whose floor it is."""

    floor: timedelta
    floor_bound: str
    maximum: timedelta | None


def effective_bounds(definition: Definition, limits: Limits) -> EffectiveBounds:
    """Return the bounds in force: the highest of three minima; an interval job's maximum defaults to 32 intervals."""
    name, floor = "operator_minimum", limits.operator_minimum
    for other, minimum in (
        ("tenant_minimum", limits.tenant_minimum),
        ("min_interval", definition.bounds.min_interval),
    ):
        if minimum is not None and minimum >= floor:
            name, floor = other, minimum
    maximum = definition.bounds.max_interval
    if maximum is None and isinstance(definition.baseline, IntervalBaseline):
        maximum = definition.baseline.every * DEFAULT_STRETCH
    return EffectiveBounds(floor=floor, floor_bound=name, maximum=maximum)


def decide(job: Job, hints: Sequence[Hint], limits: Limits, *, now: datetime, cron: Cron) -> Decision:
    """Choose the next run. Never raises for anything the store can hold; names every candidate it considered.

    `hints`: the job's hints, of any state; with planners' and rules' pauses that ended within the last seven days.
    """
    schedule = job.schedule
    if schedule.status is JobStatus.RETIRED or job.deleted_at is not None:
        return Decision(now, Source.RETIRED, None, "The job is retired.")
    if limits.suspended is not None:
        return Decision(now, Source.SUSPENDED, None, f"Everything is suspended: {limits.suspended}")
    if schedule.parked_until is not None and now < schedule.parked_until:
        reason = f"Parked until {instant(schedule.parked_until)}: {schedule.parked_reason}"
        return Decision(now, Source.PARKED, None, reason)
    return _Deliberation(job, hints, limits, now, cron).conclude()


@dataclass(slots=True)
class _Deliberation:
    """One decision in the making: hints in order of precedence, the first that holds wins, then the baseline."""

    job: Job
    hints: Sequence[Hint]
    limits: Limits
    now: datetime
    cron: Cron
    candidates: list[Candidate] = field(default_factory=list)
    clamps: list[Clamp] = field(default_factory=list)
    definition: Definition = field(init=False)
    schedule: Schedule = field(init=False)
    bounds: EffectiveBounds = field(init=False)  # there once a hint is weighed

    def __post_init__(self) -> None:
        self.definition, self.schedule = self.job.definition, self.job.schedule

    def conclude(self) -> Decision:
        regular = next_fire(self.definition, self.schedule, not_before=self.now, cron=self.cron)
        hints = counting(self.definition, self.hints, self.limits, self.now)
        if hints:
            self.bounds = effective_bounds(self.definition, self.limits)
        for hint in hints:
            decision = self._weigh(hint, regular)
            if decision is not None:
                return decision
            self.clamps.clear()
        return self._baseline(regular)

    def _weigh(self, hint: Hint, regular: datetime | None) -> Decision | None:
        """Return the decision if this hint takes it; else note why not and return None."""
        if hint.kind is HintKind.PAUSE:
            return self._user_pause(hint) if hint.author is Author.USER else self._pause(hint, regular)
        if regular is None:
            return self._drop(hint, None, "no baseline run is left to move")
        if hint.kind is HintKind.INTERVAL and isinstance(self.definition.baseline, OnceBaseline):
            return self._drop(hint, None, "a job that runs once takes no interval hints")
        at = self._clamp(self._asked(hint), regular)
        if hint.kind is HintKind.NEXT_TIME and at < self.now:
            return self._drop(hint, at, "its instant has passed")
        grants = self.definition.authority if hint.author is not Author.USER else _ALL
        if at < regular and not grants.tighten:
            return self._drop(hint, at, "earlier than the baseline, and `tighten` is not granted")
        if at > regular and not grants.relax:
            return self._drop(hint, at, "later than the baseline, and `relax` is not granted")
        if not self._in_window(at):
            return self._drop(hint, at, "outside the job's startAt and endAt")
        at = self._not_before_now(at)
        if not grants.relax and regular - self.bounds.floor < at < regular:
            self._moved("grid", at, regular)
            at = regular
        accelerated = at < regular and hint.author is not Author.USER
        if accelerated and self._accelerations_on(at) >= self.limits.accelerated_runs_per_day:
            return self._drop(hint, at, "the day's allowance of accelerated runs is used up")
        if hint.expires_at is not None and at > hint.expires_at:
            return self._after_expiry(hint, at)
        return self._hinted(hint, at, regular, grants, accelerated=accelerated)

    def _hinted(self, hint: Hint, at: datetime, regular: datetime, grants: Authority, *, accelerated: bool) -> Decision:
        handles = self._handled_by(at, regular, grants)
        is_baseline = at == regular or isinstance(self.definition.baseline, OnceBaseline)
        slot = Slot(
            at=at,
            source=_HINT_SOURCE[hint.kind],
            kind=SlotKind.BASELINE if is_baseline else SlotKind.HINTED,
            hint_id=hint.id,
            handles_through=handles[1] if handles else None,
            accelerated=accelerated,
        )
        self.candidates.append(Candidate(slot.source, at, "wins", hint.id))
        self._note_baseline(regular, "the hint takes precedence")
        reason = f"{_author(hint)} {self._proposal(hint)}{_because(hint)}{self._clamp_words()}."
        return self._decision(slot.source, slot, reason, hint_id=hint.id, handles=handles[0] if handles else None)

    def _handled_by(self, at: datetime, regular: datetime, grants: Authority) -> tuple[Handled | None, datetime] | None:
        """Say which baseline fires a hinted run at `at` stands for, and through which instant they count."""
        if isinstance(self.definition.baseline, OnceBaseline):
            return Handled(regular, regular, 1), max(at, self.definition.baseline.run_at)
        if not grants.relax:
            return (Handled(regular, regular, 1), regular) if at == regular else None
        edge = later(at, self.bounds.floor)
        if regular >= edge:
            return None
        through = last_fire_before(self.definition, self.schedule, edge) or regular
        named = fires_between(self.definition, self.schedule, regular, edge - TICK, cron=self.cron)
        return named, max(through, regular)

    def _asked(self, hint: Hint) -> datetime:
        if hint.kind is HintKind.INTERVAL and hint.interval is not None:
            return later(self.schedule.last_start_at or self.schedule.created_at, hint.interval)
        return hint.at or self.now

    def _clamp(self, at: datetime, regular: datetime) -> datetime:
        bounds = self.bounds
        start = self.schedule.last_start_at
        if bounds.maximum is not None:
            upper = max(later(start or self.schedule.created_at, bounds.maximum), regular)
            if at > upper:
                self._moved("max_interval", at, upper)
                at = upper
        if start is not None and at < (lower := later(start, bounds.floor)):
            self._moved(bounds.floor_bound, at, lower)
            at = lower
        return at

    def _not_before_now(self, at: datetime) -> datetime:
        if at >= self.now:
            return at
        self._moved("now", at, self.now)
        return self.now

    def _moved(self, bound: str, proposed: datetime, applied: datetime) -> None:
        self.clamps.append(Clamp(bound, proposed, applied))

    def _in_window(self, at: datetime) -> bool:
        start, end = self.definition.start_at, self.definition.end_at
        return (start is None or at >= start) and (end is None or at <= end)

    def _accelerations_on(self, at: datetime) -> int:
        return self.schedule.accelerated_runs if self.schedule.accelerated_on == at.date() else 0

    def _after_expiry(self, hint: Hint, at: datetime) -> Decision:
        """A slow tempo must not outlive its hint: decide at its expiry, without it, and do so now."""
        expiry = hint.expires_at or at
        others = [other for other in self.hints if other.id != hint.id]
        at_expiry = _Deliberation(self.job, others, self.limits, expiry, self.cron).conclude()
        source = _HINT_SOURCE.get(hint.kind, _PAUSE_SOURCE[hint.author])
        note = f"it expires at {instant(expiry)}, before its run; decided as of then, without it"
        seen = (*self.candidates, Candidate(source, at, note, hint.id), *at_expiry.candidates)
        reason = f"{_author(hint)} {self._proposal(hint)} expires first. {at_expiry.reason}"
        return evolve(at_expiry, decided_at=self.now, candidates=seen, reason=reason)

    def _user_pause(self, hint: Hint) -> Decision:
        until = pause_end(hint)
        words = _because(hint)
        if until is None:
            self.candidates.append(Candidate(Source.PAUSED_USER, None, "wins", hint.id))
            return self._decision(Source.PAUSED_USER, None, f"Paused by a person{words}.", hint_id=hint.id)
        fire = next_fire(self.definition, self.schedule, not_before=max(self.now, until), cron=self.cron)
        if fire is None:
            return self._retired("No baseline run is left after the pause.")
        self.candidates.append(Candidate(Source.PAUSED_USER, fire, "wins: the first fire at or after its end", hint.id))
        slot = Slot(fire, Source.PAUSED_USER, SlotKind.BASELINE, handles_through=fire)
        reason = f"Paused by a person until {instant(until)}{words}; then the baseline goes on."
        return self._decision(Source.PAUSED_USER, slot, reason, hint_id=hint.id, paused_until=until)

    def _pause(self, hint: Hint, regular: datetime | None) -> Decision | None:
        until = pause_end(hint)
        if until is None:
            return self._drop(hint, None, "a pause by a planner or rule must end")
        if regular is None:
            return self._drop(hint, until, "no baseline run is left to pause")
        if not self.definition.authority.pause:
            return self._drop(hint, until, "`pause` is not granted")
        if until <= regular:
            return self._drop(hint, until, "it ends before the next baseline run")
        if not self._in_window(until):
            return self._drop(hint, until, "it ends outside the job's startAt and endAt")
        if pause_left(self.hints, hint, self.limits, self.now) < timedelta(0):
            return self._drop(hint, until, "the week's allowance of pauses is used up")
        if hint.until is not None and until < hint.until:
            return self._after_expiry(hint, hint.until)
        source = _PAUSE_SOURCE[hint.author]
        self.candidates.append(Candidate(source, until, "wins: a probe run at its end", hint.id))
        self._note_baseline(regular, "the pause takes precedence")
        once = self.definition.baseline
        handles = max(until, once.run_at) if isinstance(once, OnceBaseline) else None
        slot = Slot(until, source, SlotKind.PROBE, hint_id=hint.id, handles_through=handles)
        reason = f"{_author(hint)} paused the job until {instant(until)}{_because(hint)}; then one probe run."
        return self._decision(source, slot, reason, hint_id=hint.id, paused_until=until)

    def _baseline(self, regular: datetime | None) -> Decision:
        retry = self._retry(regular)
        if retry is not None:
            self.candidates.append(Candidate(Source.RETRY, retry, "wins"))
            self._note_baseline(regular, "the retry comes first")
            slot = Slot(retry, Source.RETRY, SlotKind.RETRY)
            return self._decision(Source.RETRY, slot, f"One more try after the failure, at {instant(retry)}.")
        if regular is None:
            return self._retired("No baseline run is left.")
        backoff = self._backoff(regular)
        if backoff is not None and backoff > regular:
            failures = self.schedule.failures
            self.candidates.append(Candidate(Source.BACKOFF, backoff, "wins"))
            self._note_baseline(regular, f"left out after {failures} failed baseline runs in a row")
            slot = Slot(backoff, Source.BACKOFF, SlotKind.BASELINE, handles_through=backoff)
            reason = f"Backing off after {failures} failed baseline runs in a row: next at {instant(backoff)}."
            return self._decision(Source.BACKOFF, slot, reason)
        source = _BASELINE_SOURCE[type(self.definition.baseline)]
        self.candidates.append(Candidate(source, regular, "wins"))
        slot = Slot(regular, source, SlotKind.BASELINE, handles_through=regular)
        return self._decision(source, slot, f"Baseline: {self._schedule_words()}.")

    def _retry(self, regular: datetime | None) -> datetime | None:
        """One extra run after a failed baseline run of a cron or once job, never past the next fire. One that something
        else kept from its instant has passed: never "now"."""
        at = self.schedule.retry_at
        used_up = self.definition.max_runs is not None and self.schedule.counted_runs >= self.definition.max_runs
        if at is None or at < self.now or used_up or not self._in_window(at):
            return None
        return at if regular is None or at < regular else None

    def _backoff(self, regular: datetime) -> datetime | None:
        failures, slot = self.schedule.failures, self.schedule.handled_through
        if failures <= 0 or slot is None or not isinstance(self.definition.baseline, IntervalBaseline):
            return None
        wait = self.definition.baseline.every * 2 ** min(failures, BACKOFF_DOUBLINGS)
        maximum = effective_bounds(self.definition, self.limits).maximum
        if maximum is not None:
            wait = min(wait, maximum)
        return fire_at_or_after(self.definition, self.schedule, max(later(slot, wait), regular), cron=self.cron)

    def _retired(self, reason: str) -> Decision:
        self.candidates.append(Candidate(Source.RETIRED, None, "wins"))
        return self._decision(Source.RETIRED, None, f"{reason} The job retires.")

    def _drop(self, hint: Hint, at: datetime | None, note: str) -> Decision | None:
        source = _HINT_SOURCE.get(hint.kind, _PAUSE_SOURCE[hint.author])
        self.candidates.append(Candidate(source, at, f"dropped: {note}", hint.id))
        return None

    def _note_baseline(self, regular: datetime | None, note: str) -> None:
        if regular is not None:
            self.candidates.append(Candidate(_BASELINE_SOURCE[type(self.definition.baseline)], regular, note))

    def _decision(
        self,
        source: Source,
        slot: Slot | None,
        reason: str,
        *,
        hint_id: str | None = None,
        paused_until: datetime | None = None,
        handles: Handled | None = None,
    ) -> Decision:
        last = self.schedule.last_slot_at
        if slot is not None and last is not None and slot.at <= last:
            slot = evolve(slot, at=last + TICK)  # slots rise strictly, whatever the rows say
        return Decision(
            decided_at=self.now,
            source=source,
            slot=slot,
            reason=reason,
            candidates=tuple(self.candidates),
            clamps=tuple(self.clamps),
            hint_id=hint_id,
            paused_until=paused_until,
            handles=handles,
        )

    def _proposal(self, hint: Hint) -> str:
        if hint.kind is HintKind.INTERVAL and hint.interval is not None:
            return f"asked for a run every {duration(hint.interval)}"
        if hint.kind is HintKind.NEXT_TIME and hint.at is not None:
            return f"asked for a run at {instant(hint.at)}"
        return "asked for a pause"

    def _clamp_words(self) -> str:
        if not self.clamps:
            return ""
        bounds, words = self.bounds, []
        for clamp in self.clamps:
            if clamp.bound == "max_interval" and bounds.maximum is not None:
                words.append(f"held to the maximum interval of {duration(bounds.maximum)}")
            elif clamp.bound == bounds.floor_bound:
                words.append(f"held to the minimum interval of {duration(bounds.floor)}")
            elif clamp.bound == "grid":
                words.append("which meets the next baseline run")
        return f"; {', '.join(words)}" if words else ""

    def _schedule_words(self) -> str:
        baseline = self.definition.baseline
        if isinstance(baseline, CronBaseline):
            return f"cron {baseline.expression} in {baseline.timezone}"
        if isinstance(baseline, IntervalBaseline):
            return f"every {duration(baseline.every)}"
        return f"once at {instant(baseline.run_at)}"


def _author(hint: Hint) -> str:
    return {Author.USER: "A person", Author.RULE: "A rule", Author.PLANNER: "The planner"}[hint.author]


def _because(hint: Hint) -> str:
    return f" ({hint.reason})" if hint.reason else ""
