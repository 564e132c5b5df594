"""What a case is, read from YAML: a job, its answers so far, its hints, and what a sound planner does or leaves."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from core.entities import (
    Author,
    Authority,
    Bounds,
    CronBaseline,
    Definition,
    Hint,
    HintKind,
    HttpAction,
    IntervalBaseline,
    Job,
    Limits,
    OnceBaseline,
    Run,
    RunStatus,
    Schedule,
    Trigger,
)
from core.errors import ConfigurationError
from core.governor import decide
from core.sessions import PlanningContext
from evals.worlds.world import Strict
from rubato.adapters.cron import CroniterCron

FILE = Path(__file__).with_name("cases.yaml")
NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
Act = Literal["none", "interval", "next_time", "pause", "clear"]
Range = Annotated[tuple[float, float], Field(description="from, to; both included")]
_CRON = CroniterCron()


class Answer(Strict):
    """An answer, or `times` equal ones, a baseline apart, the newest `ago` seconds before now. `{n}` in a body is
    replaced by how many runs ago it was given, `{+90}` by the instant that many seconds from now."""

    body: str = '{"status": "ok"}'
    code: int | None = 200
    ago: float = 0.0
    times: int = 1
    retry_after: str | None = None
    error: str | None = None


class OwnHint(Strict):
    """A hint in force: the planner's own, unless `by` says whose."""

    interval_s: float | None = None
    at_s: float | None = None
    until_s: float | None = None
    age_s: float = 60.0
    left_s: float = 600.0
    by: Literal["planner", "rule", "user"] = "planner"


class JobTerms(Strict):
    """The job: every minute, 10 s to 10 min, steered in every way, unless said otherwise."""

    every_s: float | None = 60.0
    cron: str | None = None
    once_in_s: float | None = None
    least_s: float = 10.0
    most_s: float = 600.0
    intent: str | None = None
    grants: tuple[Literal["tighten", "relax", "pause"], ...] = ("tighten", "relax", "pause")


class Expected(Strict):
    """What is sound: one of these acts, within these ranges (seconds; instants from now)."""

    acts: tuple[Act, ...]
    interval_s: Range | None = None
    at_s: Range | None = None
    ttl_s: Range | None = None


class Entry(Strict):
    """One case of the file."""

    why: str
    job: JobTerms = JobTerms()
    answers: tuple[Answer, ...] = ()
    siblings: dict[str, Answer] = Field(default_factory=dict)
    hints: tuple[OwnHint, ...] = ()
    expect: Expected
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A case with its name."""

    name: str
    entry: Entry

    def context(self) -> PlanningContext:
        """Return what a planner is shown."""
        terms = self.entry.job
        runs = _runs(self.entry.answers, terms.every_s or 60.0)
        start = runs[0].started_at if runs else None
        schedule = Schedule(
            NOW - timedelta(days=1), NOW - timedelta(days=1), last_start_at=start, handled_through=start
        )
        job = Job("ten_case", "job_case", _definition(terms), schedule, NOW)
        hints = tuple(_hint(index, each) for index, each in enumerate(self.entry.hints))
        decision = decide(job, hints, Limits(), now=NOW, cron=_CRON)
        siblings = tuple((name, _runs((answer,), 60.0)[0]) for name, answer in self.entry.siblings.items())
        return PlanningContext(NOW, job, Limits(), hints, runs, siblings, decision)


def read_cases(path: Path = FILE) -> list[Case]:
    """Return the cases of a file. Raises ConfigurationError with line or key and reason."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigurationError(f"{path}{where}: {getattr(error, 'problem', None) or 'not YAML'}") from error
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not isinstance(document, dict) or not document:
        raise ConfigurationError(f"{path}: a mapping of names to cases is expected.")
    cases = []
    for name, value in document.items():
        try:
            cases.append(Case(str(name), Entry.model_validate(value)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in (name, *first["loc"]))
            raise ConfigurationError(f"{path}: {where}: {first['msg']}") from error
    return cases


def _definition(terms: JobTerms) -> Definition:
    baseline: IntervalBaseline | CronBaseline | OnceBaseline
    if terms.cron is not None:
        baseline = CronBaseline(terms.cron)
    elif terms.once_in_s is not None:
        baseline = OnceBaseline(NOW + timedelta(seconds=terms.once_in_s))
    else:
        baseline = IntervalBaseline(timedelta(seconds=terms.every_s or 60.0))
    return Definition(
        name="case",
        action=HttpAction("http://case.test/"),
        baseline=baseline,
        description=terms.intent,
        bounds=Bounds(timedelta(seconds=terms.least_s), timedelta(seconds=terms.most_s)),
        authority=Authority(**dict.fromkeys(terms.grants, True)),
        splay=False,
    )


def _runs(answers: tuple[Answer, ...], every_s: float) -> tuple[Run, ...]:
    runs: list[Run] = []
    ago = 0.0
    for answer in answers:
        ago = max(ago, answer.ago)
        for _ in range(answer.times):
            runs.append(_run(answer, ago, len(runs)))
            ago += every_s
    return tuple(runs)


def _run(answer: Answer, ago: float, index: int) -> Run:
    at = NOW - timedelta(seconds=ago)
    good = answer.code is not None and 200 <= answer.code < 300
    message = None if good else answer.error or f"HTTP {answer.code}"
    return Run(
        id=f"run_{100_000 - index:06d}",
        tenant_id="ten_case",
        job_id="job_case",
        scheduled_for=at,
        status=RunStatus.SUCCEEDED if good else RunStatus.FAILED,
        trigger=Trigger.SCHEDULED,
        created_at=at,
        started_at=at,
        finished_at=at,
        duration_ms=20,
        status_code=answer.code,
        error_message=message,
        response_excerpt=_filled(answer.body, index),
        retry_after=answer.retry_after,
    )


def _filled(body: str, index: int) -> str:
    body = body.replace("{n}", str(index))
    while "{+" in body:
        before, _, rest = body.partition("{+")
        seconds, _, after = rest.partition("}")
        moment = (NOW + timedelta(seconds=float(seconds))).isoformat().replace("+00:00", "Z")
        body = f"{before}{moment}{after}"
    return body


def _hint(index: int, hint: OwnHint) -> Hint:
    kind = HintKind.INTERVAL if hint.interval_s else HintKind.NEXT_TIME if hint.at_s else HintKind.PAUSE
    return Hint(
        id=f"hint_{index}",
        tenant_id="ten_case",
        job_id="job_case",
        kind=kind,
        author=Author(hint.by),
        created_at=NOW - timedelta(seconds=hint.age_s),
        expires_at=NOW + timedelta(seconds=hint.left_s),
        interval=timedelta(seconds=hint.interval_s) if hint.interval_s else None,
        at=NOW + timedelta(seconds=hint.at_s) if hint.at_s else None,
        until=NOW + timedelta(seconds=hint.until_s) if hint.until_s else None,
    )
