"""`rubato runs`: what was executed, skipped or is under way."""

from itertools import islice
from typing import Annotated

import typer

from rubato.commands.connection import job_id, service
from rubato.commands.jobs import RUN_COLUMNS, run_record
from rubato.commands.output import Format, Output, show, show_list
from rubato.commands.values import instant

app = typer.Typer(help="Look at runs.", no_args_is_help=True)


@app.command("list")
def list_(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")] = None,
    status: Annotated[str | None, typer.Option(help="succeeded, failed, skipped, unknown, canceled, running.")] = None,
    since: Annotated[str | None, typer.Option(metavar="INSTANT", help="Only slots from then on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Only slots before then.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 50,
    output: Output = Format.TABLE,
) -> None:
    """List runs, newest slot first."""
    begin, end = instant(since) if since else None, instant(until) if until else None
    with service() as client:
        of = job_id(client, job) if job is not None else None
        found = client.list_runs(of, status=status, since=begin, until=end)
        show_list(list(islice(found, limit)), output, RUN_COLUMNS)


@app.command("show")
def show_(run: Annotated[str, typer.Argument(help="The run's id.")], output: Output = Format.TABLE) -> None:
    """Show one run with what was decided after it."""
    with service() as client:
        show(client.get_run(run), output, run_record)
