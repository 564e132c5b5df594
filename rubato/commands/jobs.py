"""`rubato jobs`: register, look, edit, pause, resume, run, delete."""

import time
from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any

import typer

from rubato.client import Client, Job, JobSpec, Run
from rubato.commands.connection import FAILED, failures, job_id, service
from rubato.commands.definitions import read_one
from rubato.commands.output import Column, Format, Output, say, show, show_list, status, when
from rubato.commands.values import duration, fields, instant, json_or_text, milliseconds, pairs

app = typer.Typer(help="Register, look at and change jobs.", no_args_is_help=True)

Reference = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or its key.")]
Name = Annotated[str | None, typer.Option(help="What people call it.")]
Url = Annotated[str | None, typer.Option(help="The address that it calls.")]
Every = Annotated[str | None, typer.Option(metavar="DURATION", help="Baseline: run every 30s, 5m, 1h ...")]
Cron = Annotated[str | None, typer.Option(metavar="EXPRESSION", help="Baseline: a cron expression.")]
Zone = Annotated[str | None, typer.Option(metavar="ZONE", help="Time zone of --cron, such as Europe/Berlin.")]
At = Annotated[str | None, typer.Option(metavar="INSTANT", help="Baseline: run once, then.")]
Shortest = Annotated[str | None, typer.Option("--min", metavar="DURATION", help="No two runs closer than this.")]
Longest = Annotated[str | None, typer.Option("--max", metavar="DURATION", help="No two runs further apart than this.")]
Intent = Annotated[str | None, typer.Option("--description", help="What you want of its tempo, in plain words.")]
Key = Annotated[str | None, typer.Option(help="A key of yours, unique in the tenant.")]
Group = Annotated[str | None, typer.Option(help="A group to list it under.")]
Label = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label; repeatable.")]
Method = Annotated[str | None, typer.Option(metavar="METHOD", help="GET, POST, PUT, PATCH, DELETE or HEAD.")]
Header = Annotated[list[str] | None, typer.Option(metavar="NAME:VALUE", help="A header; repeatable.")]
Body = Annotated[str | None, typer.Option(metavar="JSON", help="The body, as JSON.")]
Timeout = Annotated[str | None, typer.Option(metavar="DURATION", help="How long a run may take.")]
Planner = Annotated[str | None, typer.Option(metavar="off|shadow|on", help="Whether the planner may propose.")]
Set = Annotated[
    list[str] | None, typer.Option(metavar="FIELD=JSON", help="Any other field of a job (docs/api.md); repeatable.")
]
DryRun = Annotated[bool, typer.Option("--validate-only", help="Change nothing; say what would be.")]

COLUMNS: tuple[Column, ...] = (
    ("ID", lambda job: job.id),
    ("KEY", lambda job: job.key),
    ("NAME", lambda job: job.name),
    ("STATUS", lambda job: job.status),
    ("BASELINE", lambda job: baseline(job)),
    ("NEXT RUN", lambda job: job.next_run_at),
    ("BECAUSE", lambda job: job.next_run_source),
    ("LAST", lambda job: job.last_run.status if job.last_run else None),
    ("FAILURES", lambda job: job.failure_count),
)
RUN_COLUMNS: tuple[Column, ...] = (
    ("ID", lambda run: run.id),
    ("JOB", lambda run: run.job_id),
    ("SLOT", lambda run: run.scheduled_for),
    ("STATUS", lambda run: run.status),
    ("TRIGGER", lambda run: run.trigger),
    ("HTTP", lambda run: run.status_code),
    ("TOOK", lambda run: duration(run.duration_ms) if run.duration_ms is not None else None),
    ("SAYS", lambda run: run.error_message or run.skip_reason),
)


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="What people call it.")] = None,
    url: Annotated[str | None, typer.Argument(help="The address that it calls.")] = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", help="Read the job from a YAML or JSON file; - is standard input.")
    ] = None,
    every: Every = None,
    cron: Cron = None,
    zone: Zone = None,
    at: At = None,
    shortest: Shortest = None,
    longest: Longest = None,
    description: Intent = None,
    key: Key = None,
    group: Group = None,
    label: Label = None,
    method: Method = None,
    header: Header = None,
    body: Body = None,
    timeout: Timeout = None,
    planner: Planner = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any other field.")] = None,
    validate_only: DryRun = False,
    output: Output = Format.TABLE,
) -> None:
    """Register a job."""
    with failures():
        given = read_one(file) if file is not None else {}
        typed = _typed(
            name=name, url=url, every=every, cron=cron, zone=zone, at=at, shortest=shortest, longest=longest,
            description=description, key=key, group=group, label=label, method=method, header=header, body=body,
            timeout=timeout, planner=planner, set_=set_,
        )  # fmt: skip
        spec = JobSpec.model_validate({**given, **typed})
    with service() as client:
        job = client.create_job(spec, validate_only=validate_only)
        show(job, output, record)
        say("Valid; nothing was registered." if validate_only else f"Registered {job.id}.")


@app.command("list")
def list_(
    status_: Annotated[str | None, typer.Option("--status", help="active, paused, parked or retired.")] = None,
    group: Group = None,
    label: Label = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 200,
    output: Output = Format.TABLE,
) -> None:
    """List jobs, newest first."""
    with service() as client:
        found = client.list_jobs(status=status_, group=group, labels=pairs(label or []))
        show_list(list(islice(found, limit)), output, COLUMNS)


@app.command("show")
def show_(job: Reference, output: Output = Format.TABLE) -> None:
    """Show one job."""
    with service() as client:
        show(client.get_job(job_id(client, job)), output, record)


@app.command()
def edit(
    job: Reference,
    name: Name = None,
    url: Url = None,
    every: Every = None,
    cron: Cron = None,
    zone: Zone = None,
    at: At = None,
    shortest: Shortest = None,
    longest: Longest = None,
    description: Intent = None,
    key: Key = None,
    group: Group = None,
    label: Label = None,
    method: Method = None,
    header: Header = None,
    body: Body = None,
    timeout: Timeout = None,
    planner: Planner = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Any other field.")] = None,
    clear: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Empty a field; repeatable.")] = None,
    if_version: Annotated[int | None, typer.Option(min=1, help="Only if it is at this version.")] = None,
    validate_only: DryRun = False,
    output: Output = Format.TABLE,
) -> None:
    """Change what is named; everything else stays. --label and --header replace all there were."""
    with failures():
        changes = _typed(
            name=name, url=url, every=every, cron=cron, zone=zone, at=at, shortest=shortest, longest=longest,
            description=description, key=key, group=group, label=label, method=method, header=header, body=body,
            timeout=timeout, planner=planner, set_=set_,
        )  # fmt: skip
        changes.update(dict.fromkeys(clear or []))
        if not changes:
            raise typer.BadParameter("Name something to change; `rubato jobs edit --help` lists what there is.")
    with service() as client:
        edited = client.update_job(job_id(client, job), changes, if_version=if_version, validate_only=validate_only)
        show(edited, output, record)
        say("Valid; nothing was changed." if validate_only else f"{edited.id} is at version {edited.version}.")


@app.command()
def pause(
    job: Reference,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Resume by itself then.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever wonders.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Pause a job. Nothing that passes meanwhile is replayed."""
    end = instant(until) if until is not None else None
    with service() as client:
        show(client.pause_job(job_id(client, job), until=end, reason=reason), output, record)


@app.command()
def resume(job: Reference, output: Output = Format.TABLE) -> None:
    """End every pause of a job, a planner's too."""
    with service() as client:
        show(client.resume_job(job_id(client, job)), output, record)


@app.command()
def run(
    job: Reference,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit with 1 unless it succeeded.")] = False,
    timeout: Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")] = "5m",
    output: Output = Format.TABLE,
) -> None:
    """Run a job now; while a run is active the answer is a skipped one."""
    patience_s = milliseconds(timeout) / 1000
    with service() as client:
        asked = client.run_job(job_id(client, job))
        ended = _awaited(client, asked, patience_s) if wait else asked
        show(ended, output, run_record)
    if wait and ended.status != "succeeded":
        say(f"It did not end within {timeout}." if not ended.has_ended else f"The run is {ended.status}.")
        raise SystemExit(FAILED)


@app.command()
def delete(job: Reference, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete a job; its runs stay readable until retention."""
    with service() as client:
        found = client.get_job(job_id(client, job))
        if not yes:
            typer.confirm(f"Delete {found.id} ({found.name})?", abort=True)
        client.delete_job(found.id)
        say(f"Deleted {found.id}.")


def baseline(job: Job) -> str:
    """Write a job's baseline in short."""
    if job.baseline_cron is not None:
        return f"{job.baseline_cron} ({job.timezone})"
    if job.baseline_interval_ms is not None:
        return f"every {duration(job.baseline_interval_ms)}"
    return f"once at {when(job.run_at)}"


def record(job: Job) -> dict[str, Any]:
    """Return what a table says of one job."""
    return {
        "id": job.id,
        "key": job.key,
        "name": job.name,
        "description": job.description,
        "status": job.status,
        "calls": f"{job.method} {job.url}" if job.url else job.target,
        "baseline": baseline(job),
        "bounds": f"{duration(job.min_interval_ms) or 'the default'} to {duration(job.max_interval_ms) or 'no end'}",
        "next run": job.next_run_at,
        "because": job.next_run_source,
        "paused until": job.paused_until or ("resumed" if job.status == "paused" else None),
        "paused by": job.paused_by,
        "reason": job.pause_reason or job.parked_reason,
        "next runs": [when(at) for at in job.next_runs or ()],
        "last run": f"{job.last_run.status} at {when(job.last_run.scheduled_for)}" if job.last_run else None,
        "failures in a row": job.failure_count,
        "planner": job.planner,
        "labels": job.labels,
        "group": job.group,
        "version": job.version,
    }


def run_record(run: Run) -> dict[str, Any]:
    """Return what a table says of one run."""
    return {
        "id": run.id,
        "job": run.job_id,
        "slot": run.scheduled_for,
        "status": run.status,
        "trigger": run.trigger,
        "started": run.started_at,
        "took": duration(run.duration_ms) if run.duration_ms is not None else None,
        "HTTP": run.status_code,
        "error": run.error_message,
        "skipped because": run.skip_reason,
        "response": run.response_excerpt,
        "then": run.decision.reason if run.decision else None,
    }


def _awaited(client: Client, asked: Run, patience_s: float) -> Run:
    """Look at a run until it has ended, or patience has."""
    until, found = time.monotonic() + patience_s, asked
    with status("waiting for the run"):
        while not found.has_ended and time.monotonic() < until:
            time.sleep(0.25)
            found = client.get_run(asked.id)
    return found


_READ: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "name": ("name", str),
    "url": ("url", str),
    "every": ("baselineIntervalMs", milliseconds),
    "cron": ("baselineCron", str),
    "zone": ("timezone", str),
    "at": ("runAt", lambda text: instant(text).isoformat()),
    "shortest": ("minIntervalMs", milliseconds),
    "longest": ("maxIntervalMs", milliseconds),
    "description": ("description", str),
    "key": ("key", str),
    "group": ("group", str),
    "label": ("labels", pairs),
    "method": ("method", str.upper),
    "header": ("headersJson", lambda given: pairs(given, separator=":")),
    "body": ("bodyJson", json_or_text),
    "timeout": ("timeoutMs", milliseconds),
    "planner": ("planner", str),
}


def _typed(*, set_: list[str] | None, **given: Any) -> dict[str, Any]:
    """Return the fields that were typed, as the service names them."""
    named = {_READ[option][0]: _READ[option][1](value) for option, value in given.items() if value is not None}
    return {**named, **fields(set_ or [])}
