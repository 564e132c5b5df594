"""`rubato sessions`: what the planner was shown, did, and was told."""

from itertools import islice
from typing import Annotated, Any

import typer

from rubato.client import Session
from rubato.commands.connection import job_id, service
from rubato.commands.output import Column, Format, Output, show, show_list

app = typer.Typer(help="Look at planner sessions.", no_args_is_help=True)

COLUMNS: tuple[Column, ...] = (
    ("ID", lambda session: session.id),
    ("JOB", lambda session: session.job_id),
    ("STARTED", lambda session: session.started_at),
    ("OUTCOME", lambda session: session.outcome),
    ("PLANNER", lambda session: f"{session.planner} {session.model}".strip()),
    ("TOKENS", lambda session: session.tokens.total),
    ("DID", lambda session: [f"{call.tool}: {call.verdict}" for call in session.tool_calls]),
)


@app.command("list")
def list_(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 50,
    output: Output = Format.TABLE,
) -> None:
    """List sessions, newest first."""
    with service() as client:
        of = job_id(client, job) if job is not None else None
        show_list(list(islice(client.list_sessions(of), limit)), output, COLUMNS)


@app.command("show")
def show_(session: Annotated[str, typer.Argument(help="The session's id.")], output: Output = Format.TABLE) -> None:
    """Show one session; `-o json` has the whole conversation."""
    with service() as client:
        show(client.get_session(session), output, record)


def record(session: Session) -> dict[str, Any]:
    """Return what a table says of one session."""
    tokens, calls = session.tokens, session.tool_calls
    made = {
        f"call {n}": f"{each.tool}({each.arguments}): {each.verdict}. {each.message}" for n, each in enumerate(calls, 1)
    }
    return {
        "id": session.id,
        "job": session.job_id,
        "after run": session.run_id,
        "outcome": session.outcome,
        "planner": f"{session.planner} {session.model}".strip(),
        "was shown": session.input_summary,
        **made,
        "reasoning": session.reasoning,
        "confidence": session.confidence,
        "tokens": f"{tokens.input} in, {tokens.output} out{', estimated' if tokens.estimated else ''}",
        "took": f"{(session.finished_at - session.started_at).total_seconds():.1f} s",
        "hints": session.hint_ids,
        "then": session.decision.reason if session.decision else None,
        "error": session.error,
    }
