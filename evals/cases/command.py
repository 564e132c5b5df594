"""What `rubato eval cases` does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from core.errors import ConfigurationError
from core.ports.planner import Planner
from evals.cases.case import FILE, Case, read_cases
from evals.cases.trial import replaying, shown, try_cases, write_verdicts
from planner.llm import LlmPlanner, OfflinePlanner
from planner.models import openai_model

PREFIX = "openai:"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    replay: Path | None = None
    repeat: int = 1
    concurrency: int = 4
    file: Path | None = None
    json_file: Path | None = None


async def run(options: Options, console: Console) -> int:
    """Put the cases, report, and return 0, or 1 where a decision was unsound."""
    cases = read_cases(options.file or FILE)
    name, planner_for = _planners(options)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(name, total=len(cases) * options.repeat)
        verdicts = await try_cases(
            cases,
            planner_for,
            repeat=options.repeat,
            concurrency=options.concurrency,
            done=lambda: progress.advance(task),
        )
    console.print(shown(cases, verdicts))
    if options.json_file is not None:
        write_verdicts(options.json_file, verdicts, planner=name)
        console.print(f"Wrote {options.json_file}.")
    return 0 if all(verdict.is_sound for verdict in verdicts) else 1


def _planners(options: Options) -> tuple[str, Callable[[Case, int], Planner]]:
    if options.replay is not None:
        return f"recorded in {options.replay}", replaying(options.replay)
    if options.model is None:
        return "offline", lambda case, attempt: OfflinePlanner()
    if not options.model.startswith(PREFIX):
        raise ConfigurationError(f'--model takes {PREFIX}NAME, such as {PREFIX}gpt-5-mini, not "{options.model}".')
    if options.api_key is None and options.base_url is None:
        raise ConfigurationError("Set OPENAI_API_KEY, or name a server that needs none with --base-url.")
    name = options.model.removeprefix(PREFIX)
    planner = LlmPlanner(
        openai_model(name, api_key=options.api_key or "none", base_url=options.base_url), fall_back=False
    )
    return options.model, lambda case, attempt: planner
