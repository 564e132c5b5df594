"""`rubato hints`: what bends the tempo, and bending it oneself."""

from itertools import islice
from typing import Annotated, Any, Literal

import typer

from rubato.client import Hint, HintSpec
from rubato.commands.connection import failures, job_id, service
from rubato.commands.decisions import decision_record
from rubato.commands.jobs import Reference
from rubato.commands.output import Column, Format, Output, say, show, show_list
from rubato.commands.values import duration, instant, milliseconds

app = typer.Typer(help="Look at, write and clear hints.", no_args_is_help=True)

COLUMNS: tuple[Column, ...] = (
    ("ID", lambda hint: hint.id),
    ("JOB", lambda hint: hint.job_id),
    ("ASKS FOR", lambda hint: asks(hint)),
    ("BY", lambda hint: hint.author),
    ("STATE", lambda hint: hint.state),
    ("EXPIRES", lambda hint: hint.expires_at or "never"),
    ("REASON", lambda hint: hint.reason),
)


@app.command("list")
def list_(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 200,
    output: Output = Format.TABLE,
) -> None:
    """List hints, newest first."""
    with service() as client:
        of = job_id(client, job) if job is not None else None
        found = client.list_hints(of, state="all" if every else "active")
        show_list(list(islice(found, limit)), output, COLUMNS)


@app.command()
def add(
    job: Reference,
    every: Annotated[str | None, typer.Option(metavar="DURATION", help="Run this often.")] = None,
    at: Annotated[str | None, typer.Option(metavar="INSTANT", help="Run once, then.")] = None,
    pause_until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Do not run before this.")] = None,
    ttl: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="How long the hint lives.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="For ever, until cleared.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever wonders.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="Write nothing; say what it would change.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Propose a tempo. It outranks rules and planners, and obeys the job's bounds."""
    given = {"interval": every, "next_time": at, "pause": pause_until}
    chosen: list[Any] = [kind for kind, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise typer.BadParameter("Give exactly one of --every, --at and --pause-until.")
    kind: Literal["interval", "next_time", "pause"] = chosen[0]
    with failures():
        spec = HintSpec(
            kind=kind,
            interval_ms=milliseconds(every) if every else None,
            at=instant(at) if at else None,
            until=instant(pause_until) if pause_until else None,
            ttl_ms=milliseconds(ttl) if ttl else None,
            pin=pin,
            reason=reason,
        )
    with service() as client:
        of = job_id(client, job)
        if simulate:
            show(client.simulate_hint(of, spec), output, lambda told: decision_record(told.after))
            return
        show(client.create_hint(of, spec), output, record)


@app.command()
def clear(
    job: Reference, hint: Annotated[str | None, typer.Argument(help="Only this hint, by its id.")] = None
) -> None:
    """Clear a job's hints, all but a person's pause, which `rubato jobs resume` ends."""
    with service() as client:
        of = job_id(client, job)
        if hint is not None:
            client.clear_hint(of, hint)
            say(f"Cleared {hint}.")
            return
        client.clear_hints(of)
        say(f"Cleared the hints of {of}.")


def asks(hint: Hint) -> str:
    """Write what a hint asks for."""
    if hint.interval_ms is not None:
        return f"every {duration(hint.interval_ms)}"
    if hint.at is not None:
        return f"at {hint.at:%Y-%m-%d %H:%M:%SZ}"
    return f"pause until {hint.until:%Y-%m-%d %H:%M:%SZ}" if hint.until is not None else "pause"


def record(hint: Hint) -> dict[str, Any]:
    """Return what a table says of one hint."""
    return {
        "id": hint.id,
        "job": hint.job_id,
        "asks for": asks(hint),
        "would run at": hint.proposed,
        "runs at": hint.applied,
        "by": hint.author,
        "state": hint.state,
        "reason": hint.reason,
        "expires": hint.expires_at or "never",
    }
