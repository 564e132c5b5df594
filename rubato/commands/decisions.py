"""`rubato explain` and `rubato forecast`: why it will run then, and when after that."""

from typing import Annotated, Any

import typer

from rubato.client import Decision
from rubato.commands.connection import job_id, service
from rubato.commands.jobs import Reference
from rubato.commands.output import Column, Format, Output, say, show, show_list, when, write

CANDIDATES: tuple[Column, ...] = (
    ("CANDIDATE", lambda each: each.source),
    ("AT", lambda each: each.at),
    ("NOTE", lambda each: each.note),
)
EXPECTED: tuple[Column, ...] = (
    ("AT", lambda each: each.at),
    ("BECAUSE", lambda each: each.source),
    ("HINT", lambda each: each.hint_id),
)


def explain(job: Reference, output: Output = Format.TABLE) -> None:
    """Say why a job will run when it will: every candidate, the winner, each clamp, one sentence."""
    with service() as client:
        found = client.explain_job(job_id(client, job))
        show(found, output, decision_record)
        if output is Format.TABLE:
            write("")
            show_list(found.candidates, output, CANDIDATES)


def forecast(
    job: Reference,
    hours: Annotated[int, typer.Option(min=1, max=744, help="How far ahead.")] = 24,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at the most.")] = 500,
    output: Output = Format.TABLE,
) -> None:
    """Say when a job will run, if each run succeeds at its slot and no new hint comes."""
    with service() as client:
        found = client.forecast_job(job_id(client, job), hours=hours, limit=limit)
        if output is not Format.TABLE:
            show(found, output, lambda _: {})
            return
        show_list(found.data, output, EXPECTED)
        if found.truncated:
            say(f"There are more before {when(found.until)}; raise --limit to see them.")


def decision_record(found: Decision) -> dict[str, Any]:
    """Return what a table says of one decision."""
    return {
        "why": found.reason,
        "next run": found.next_run_at or "none",
        "because": found.source,
        "held by": [f"{clamp.bound}: {when(clamp.proposed)} -> {when(clamp.applied)}" for clamp in found.clamps],
        "paused until": found.paused_until,
        "decided": found.decided_at,
    }
