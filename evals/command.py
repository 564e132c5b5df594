"""What `rubato eval` does: choose worlds, play them, report. Ctrl-C keeps what is finished."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from core.errors import ConfigurationError
from evals import baseline, page, tape, terminal
from evals.policies.catalogue import FIXED, TEXTBOOK
from evals.suite import HELD_OUT, OFFLINE, PLANNERS, TRAINING, Results, cells_of, run_cells
from evals.summary import WorldSummary, as_json, summarise
from evals.traces import as_world, read_recordings
from evals.worlds.catalogue import FILE, choose, read_worlds
from evals.worlds.world import World

QUICK_SEEDS, FULL_SEEDS = 4, 30
QUICK_POLICIES = (FIXED, "aimd", "mimd", "alex", "ewma+root", OFFLINE)
LEAST_CHANGES = 20  # in a recording, to say anything


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `seeds` None: 4, or 30 with `full`. `check`: compare with the committed baseline."""

    full: bool = False
    worlds: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    seeds: int | None = None
    training: bool = False
    traces: tuple[Path, ...] = ()
    every: timedelta | None = None
    catalogue: Path = FILE
    processes: int = 1
    html: Path | None = None
    json_file: Path | None = None
    check: bool = False
    write_baseline: bool = False
    details: bool = False
    when: str = ""
    command: str = "rubato eval"


def evaluate(options: Options, console: Console) -> int:
    """Play and report; return the exit code: 0, or 1 where something got worse than the baseline."""
    worlds = _worlds(options, console)
    policies = _policies(options)
    seeds = _seeds(options)
    results = Results({world.name: world for world in worlds}, tuple(seeds), policies)
    _play(results, worlds, policies, seeds, options, console)
    if not results.played:
        console.print("Nothing was finished.")
        return 1
    summaries = summarise(results)
    _report(summaries, results, options, console)
    if options.write_baseline and not results.stopped:
        baseline.write(summaries)
        console.print(f"Wrote {baseline.FILE.name}.")
    elif options.check and not results.stopped:
        return _checked(summaries, console)
    return 130 if results.stopped else 0


def _worlds(options: Options, console: Console) -> list[World]:
    if options.traces:
        return [world for path in options.traces for world in _recorded(path, options.every, console)]
    known = read_worlds(options.catalogue)
    if options.worlds:
        return choose(known, options.worlds, "world")
    suite = "full" if options.full else "quick"
    return [world for world in known.values() if suite in world.suites]


def _recorded(path: Path, every: timedelta | None, console: Console) -> list[World]:
    worlds = []
    for recording in read_recordings(path):
        if len(recording.changes) < LEAST_CHANGES:
            console.print(f"{recording.name}: {len(recording.changes)} changes, too few to say anything; left out.")
            continue
        console.print(f"{recording.name}: {len(recording.changes)} changes; {recording.censored}.")
        worlds.append(as_world(recording, every))
    if not worlds:
        raise ConfigurationError(f"{path}: no endpoint with at least {LEAST_CHANGES} changes; there is no history.")
    return worlds


def _policies(options: Options) -> tuple[str, ...]:
    known = {name: name for name in (*TEXTBOOK, *PLANNERS)}
    default = (*TEXTBOOK, OFFLINE) if options.full else QUICK_POLICIES
    chosen = tuple(choose(known, options.policies, "policy")) if options.policies else default
    return tuple(dict.fromkeys((FIXED, *chosen)))


def _seeds(options: Options) -> Sequence[int]:
    if options.traces:
        return range(1)
    count = options.seeds if options.seeds is not None else FULL_SEEDS if options.full else QUICK_SEEDS
    if not 1 <= count <= len(HELD_OUT):
        raise ConfigurationError(f"--seeds takes 1 to {len(HELD_OUT)}, not {count}.")
    return (TRAINING if options.training else HELD_OUT)[:count]


def _play(
    results: Results,
    worlds: Sequence[World],
    policies: Sequence[str],
    seeds: Sequence[int],
    options: Options,
    console: Console,
) -> None:
    cells = cells_of(worlds, seeds, policies, sweep=options.full or bool(options.worlds or options.traces))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} {task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("playing", total=len(cells), left="")

        def tell(done: int, of: int, left_s: float | None) -> None:
            progress.update(task, completed=done, left=f"about {terminal.span(left_s)} left" if left_s else "")

        try:
            for played in run_cells(cells, options.processes, tell):
                results.add(played)
        except KeyboardInterrupt:
            results.stopped = True
    if results.stopped:
        console.print("Stopped; what was finished is reported.")


def _report(summaries: list[WorldSummary], results: Results, options: Options, console: Console) -> None:
    console.print(terminal.tables(summaries, details=options.details))
    if options.json_file is not None:
        document = {
            "command": options.command,
            "when": options.when,
            "seeds": list(results.seeds),
            "stopped": results.stopped,
            "worlds": as_json(summaries),
        }
        options.json_file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        console.print(f"Wrote {options.json_file}.")
    if options.html is not None:
        judged = [results.worlds[summary.name] for summary in summaries if OFFLINE in summary.policies]
        tapes = [tape.record(world, results.seeds[0]) for world in judged]
        text = page.render(summaries, tapes, command=options.command, when=options.when, partial=results.stopped)
        options.html.write_text(text, encoding="utf-8")
        console.print(f"Wrote {options.html}.")


def _checked(summaries: list[WorldSummary], console: Console) -> int:
    worse = baseline.regressions(summaries)
    for line in worse:
        console.print(f"Worse than the baseline: {line}", style="bold red")
    if not worse:
        console.print("As good as the committed baseline.", style="bold green")
    return 1 if worse else 0
