"""`rubato eval`: worlds by itself, single decisions (`cases`), stored runs (`replay`), two reports (`compare`)."""

import asyncio
import os
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rubato.adapters.clock import SystemClock
from rubato.reports import report_path
from rubato.settings import load

evaluating = typer.Typer(
    help="Say with intervals whether adapting beats a fixed schedule.", invoke_without_command=True
)


@evaluating.callback()
def worlds(
    context: typer.Context,
    full: Annotated[bool, typer.Option("--full", help="Every world, 30 seeds; else a quick set, 4 seeds.")] = False,
    world: Annotated[list[str] | None, typer.Option(help="Only this world; may be repeated.")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Only this policy; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=30, help="How many held-out seeds.")] = None,
    training: Annotated[bool, typer.Option("--training", help="Training seeds instead, for tuning.")] = False,
    trace: Annotated[list[Path] | None, typer.Option(help="Play recorded changes (CSV, or runs as JSONL).")] = None,
    every_s: Annotated[float | None, typer.Option(min=1, help="The baseline for --trace, in seconds.")] = None,
    catalogue: Annotated[Path | None, typer.Option(help="Another file of worlds.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the figures as JSON; else to the data folder, where the dashboard looks.")
    ] = None,
    details: Annotated[bool, typer.Option("--details", help="Print a table of policies for each world.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where worse than the committed baseline.")] = False,
    write_baseline: Annotated[bool, typer.Option("--write-baseline", help="Make this the baseline.")] = False,
) -> None:
    """Play worlds with known laws and bounds, offline, on a virtual clock. Without a command, a quick set."""
    if context.invoked_subcommand is not None:
        return
    from evals import command
    from evals.worlds.catalogue import FILE

    options = command.Options(
        full=full,
        worlds=tuple(world or ()),
        policies=tuple(policy or ()),
        seeds=seeds,
        training=training,
        traces=tuple(trace or ()),
        every=timedelta(seconds=every_s) if every_s is not None else None,
        catalogue=catalogue or FILE,
        processes=jobs,
        html=html,
        json_file=json or report_path(load().settings.data_dir),
        check=check,
        write_baseline=write_baseline,
        details=details,
        when=SystemClock().now().strftime("%Y-%m-%d"),
        command=shlex.join(["rubato", *sys.argv[1:]]),
    )
    raise SystemExit(command.evaluate(options, Console()))


@evaluating.command()
def cases(
    model: Annotated[
        str | None, typer.Option(help="openai:NAME, at OPENAI_BASE_URL or --base-url; else the offline planner.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Of an OpenAI-compatible server.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Play an earlier report's transcripts, without network.")] = None,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="How often each case is tried.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many at once.")] = 4,
    file: Annotated[Path | None, typer.Option(help="Another file of cases.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the verdicts with their transcripts.")] = None,
) -> None:
    """Put single decisions to a planner: each a context, and what a sound decision there must satisfy."""
    from evals.cases import command

    options = command.Options(
        model=model,
        base_url=base_url or os.environ.get("OPENAI_BASE_URL"),
        api_key=os.environ.get("OPENAI_API_KEY"),
        replay=replay,
        repeat=repeat,
        concurrency=concurrency,
        file=file,
        json_file=json,
    )
    raise SystemExit(asyncio.run(command.run(options, Console())))


@evaluating.command()
def compare(before: Path, after: Path) -> None:
    """Show where two reports of cases differ."""
    from evals.cases.trial import compared, read_verdicts

    Console().print(compared(read_verdicts(before), read_verdicts(after)))


@evaluating.command()
def replay(
    file: Path,
    job: Annotated[str | None, typer.Option(help="Only this job's runs.")] = None,
    every_s: Annotated[float | None, typer.Option(min=1, help="Another baseline, in seconds.")] = None,
    least_s: Annotated[float | None, typer.Option(min=1, help="Another minimum, in seconds.")] = None,
    most_s: Annotated[float | None, typer.Option(min=1, help="Another maximum, in seconds.")] = None,
) -> None:
    """Replay runs from `rubato export runs` under the offline planner or other bounds; says what they cannot show."""
    from evals import replay as replays

    def span(seconds: float | None) -> timedelta | None:
        return timedelta(seconds=seconds) if seconds is not None else None

    for table in replays.tables(file, job_id=job, every=span(every_s), least=span(least_s), most=span(most_s)):
        Console().print(table)
