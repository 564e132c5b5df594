"""The command line: what runs the service. What speaks to one is in `rubato.commands`.

Exit codes: 0 done, 1 failure, 2 usage or configuration (the message names what to change), 3 differences (`apply`).
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import typer

from core.errors import ConfigurationError, RubatoError, SecretLostError
from rubato.adapters.logs import configure_logs, report_failure
from rubato.cli_evals import evaluating
from rubato.commands import decisions, doctor, gitops, hints, jobs, keys, mcp, quota, runs, sessions
from rubato.settings import Loaded, Settings, load, render_table, render_values

Answer = TypeVar("Answer")

app = typer.Typer(
    name="rubato",
    help="An adaptive scheduler for HTTP jobs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
config = typer.Typer(help="Look at the configuration.", no_args_is_help=True)
app.add_typer(config, name="config")
for noun in (jobs, runs, hints, sessions, keys):
    app.add_typer(noun.app, name=noun.__name__.rpartition(".")[2])
for verb in (
    doctor.doctor,
    decisions.explain,
    decisions.forecast,
    gitops.apply,
    gitops.schema,
    quota.quota,
    mcp.mcp,
):
    app.command()(verb)
admin = typer.Typer(help="An operator's errands.", no_args_is_help=True)
app.add_typer(admin, name="admin")
planning = typer.Typer(help="Switch planning, and bound its cost.", no_args_is_help=True)
app.add_typer(planning, name="planning")
flags = typer.Typer(help="Switch parts of the service on and off.", no_args_is_help=True)
app.add_typer(flags, name="flags")
operations = typer.Typer(help="What to do in trouble (docs/runbook.md).", no_args_is_help=True)
app.add_typer(operations, name="ops")
app.add_typer(evaluating, name="eval")
export = typer.Typer(help="Take data out.", no_args_is_help=True)
app.add_typer(export, name="export")
export.command("jobs")(gitops.export)


@app.command()
def dev(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of API and page (PORT).")] = None,
    demo: Annotated[bool, typer.Option(help="Register the demo's jobs and serve their target.")] = True,
) -> None:
    """Start everything on this machine: database, API, page, worker, planner and a demo."""
    from rubato.wiring.dev import DevOptions, run_dev
    from rubato.wiring.shared import database

    settings = _settings(json_by_default=False)
    options = DevOptions(port=port or settings.port, demo=demo)

    def announce(link: str, key: str, planner: str) -> None:
        lines = [
            "",
            f"  Rubato is up, {planner}. Jobs may call public addresses and, inside this network, loopback only.",
            "",
            f"  Page      {link}",
            f"  API key   {key}",
            "",
            "  Ctrl-C stops everything; the data stays.",
            "",
        ]
        print("\n".join(lines), flush=True)

    def start() -> Coroutine[Any, Any, None]:
        return run_dev(settings, url, options, announce)

    with _failures(), database(settings) as url:
        _run(start)


@app.command()
def api() -> None:
    """Serve the REST API."""
    from rubato.wiring.api import run_api
    from rubato.wiring.reports import report_errors

    settings = _settings()
    with _failures():
        report_errors(settings, "api")
        _run(lambda: run_api(settings))


@app.command()
def worker(
    only: Annotated[
        str | None, typer.Option(help="Only this loop: `run` or `plan`.", metavar="run|plan", show_default=False)
    ] = None,
) -> None:
    """Run what is due, and plan."""
    if only not in (None, "run", "plan"):
        _give_up(ConfigurationError(f"--only takes run or plan, not {only}."))
    from rubato.wiring.reports import report_errors
    from rubato.wiring.worker import run_worker

    settings = _settings()
    with _failures():
        report_errors(settings, "worker")
        _run(lambda: run_worker(settings, only=only))


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe from several processes at once."""
    from rubato.wiring.migrations import run_migrations

    settings = _settings()
    with _failures():
        _run(lambda: run_migrations(settings))


@planning.command("set")
def planning_set(
    mode: Annotated[str, typer.Argument(metavar="on|shadow|off", help="`off` is the kill switch.")],
    tenant: Annotated[str | None, typer.Option(help="Only for this tenant's id.", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Kept in the history.", show_default=False)] = None,
) -> None:
    """Turn planning on, to paper only (`shadow`), or off, in every process at once and without a restart."""
    from rubato import errands

    if mode not in ("on", "shadow", "off"):
        _give_up(ConfigurationError(f"The mode is on, shadow or off, not {mode}."))
    settings = _settings()
    with _failures():
        print(_answer(lambda: errands.switch_planning(settings, mode, tenant=tenant, reason=reason)))


@planning.command("status")
def planning_status(
    tenant: Annotated[str | None, typer.Option(help="This tenant's id, too.", show_default=False)] = None,
) -> None:
    """Print what was switched, by whom and why."""
    from rubato import errands

    settings = _settings()
    with _failures():
        print("\n".join(_answer(lambda: errands.planning_status(settings, tenant=tenant))))


@flags.command("set")
def flags_set(
    name: Annotated[str, typer.Argument(metavar="planner|rules|cron|interval", help="Which switch.")],
    value: Annotated[str, typer.Argument(metavar="on|off", help="`planner` takes `shadow`, too.")],
    tenant: Annotated[str | None, typer.Option(help="Only for this tenant's id.", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Kept in the history.", show_default=False)] = None,
) -> None:
    """Turn a switch, within seconds in every process and without a restart."""
    from rubato import errands

    settings = _settings()
    with _failures():
        print(_answer(lambda: errands.turn_switch(settings, name, value, tenant=tenant, reason=reason)))


flags.command("status")(planning_status)


@planning.command("quota")
def planning_quota(
    allowances: Annotated[
        list[str],
        typer.Argument(metavar="NAME=NUMBER...", help="Such as tokens_per_day=500000; NAME=none lifts a ceiling."),
    ],
    tenant: Annotated[
        str | None, typer.Option(help="A tenant's id; without one, what all tenants together may use.")
    ] = None,
) -> None:
    """Set what planning may use; every process obeys from its next session on."""
    from rubato import errands

    settings = _settings()
    with _failures():
        _answer(lambda: errands.set_allowances(settings, _allowances(allowances), tenant=tenant))


@planning.command("accept-rules")
def planning_accept_rules(
    unseen: Annotated[str, typer.Argument(metavar="on|off", help="`off`, as it is at first: a person accepts each.")],
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
) -> None:
    """Let rules that a planner proposes take effect without a person's word (docs/rules.md)."""
    from rubato import errands

    if unseen not in ("on", "off"):
        _give_up(ConfigurationError(f"It takes on or off, not {unseen}."))
    settings = _settings()
    with _failures():
        _answer(lambda: errands.accept_rules(settings, unseen=unseen == "on", tenant=tenant))


@operations.command("pause-all")
def pause_all(
    reason: Annotated[str | None, typer.Option(help="Why; it stands in every explanation.", show_default=False)] = None,
) -> None:
    """Claim nothing more, for any tenant, until `resume-all`. Runs that are out end."""
    from rubato import errands

    async def work() -> int:
        async with errands.operations(settings) as verbs:
            return await verbs.pause_all(reason)

    settings = _settings()
    with _failures():
        print(f"Everything is paused; it was not for {_answer(work)} tenant(s).")


@operations.command("resume-all")
def resume_all() -> None:
    """Go on after `pause-all`; tenants that were suspended otherwise stay so."""
    from rubato import errands

    async def work() -> int:
        async with errands.operations(settings) as verbs:
            return await verbs.resume_all()

    settings = _settings()
    with _failures():
        print(f"{_answer(work)} tenant(s) go on.")


@operations.command("leases")
def leases(
    worker: Annotated[str | None, typer.Option(help="Of this worker only.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most.")] = 1000,
) -> None:
    """Print who holds which job until when, a line each."""
    from rubato import errands

    async def work() -> list[str]:
        async with errands.operations(settings) as verbs:
            return [
                f"{each.worker} {each.job_id} {each.run_id or '-'} {each.until:%Y-%m-%dT%H:%M:%SZ}"
                f"{' ended' if each.is_over else ''}"
                for each in await verbs.leases(worker=worker, limit=limit)
            ]

    settings = _settings()
    with _failures():
        print("\n".join(_answer(work)) or "Nobody holds a lease.")


@operations.command("end-leases")
def end_leases(worker: Annotated[str, typer.Argument(help="A worker's id, as `leases` prints it.")]) -> None:
    """End the leases of a worker that is dead, so that others need not wait for them."""
    from rubato import errands

    async def work() -> int:
        async with errands.operations(settings) as verbs:
            return await verbs.end_leases(worker)

    settings = _settings()
    with _failures():
        print(f"{_answer(work)} lease(s) ended.")


@app.command("demo-target")
def demo_target(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve it on, on loopback.")] = 3002,
) -> None:
    """Serve the demo's target alone: a day in five minutes, at /queue, /reports and /deploy."""
    from rubato.wiring.demo import run_demo_target

    _settings()
    with _failures():
        _run(lambda: run_demo_target(port))


@export.command("runs")
def export_runs(
    tenant: Annotated[str, typer.Option(help="The tenant's id.")],
    job: Annotated[str | None, typer.Option(help="Only this job's runs.")] = None,
    days: Annotated[float, typer.Option(min=0, help="How many days back.")] = 30,
) -> None:
    """Print a tenant's stored runs, a line of JSON each, for `rubato eval --trace` and `rubato eval replay`."""
    from rubato import errands

    settings = _settings()
    with _failures():
        _run(lambda: errands.run_export(settings, tenant, job, days=days, write=print))


@admin.command("create-key")
def admin_create_key(
    tenant: Annotated[str, typer.Option(help="Id or name of the tenant; one of this name is made if there is none.")],
    name: Annotated[str, typer.Option(help="What the key is listed as.")] = "made by the operator",
) -> None:
    """Make an API key of all scopes for an admin of a tenant, and print it, this once."""
    from rubato import errands

    settings = _settings()
    with _failures():
        print(asyncio.run(errands.create_key(settings, tenant=tenant, name=name)))


@admin.command("new-encryption-key")
def admin_new_encryption_key() -> None:
    """Print a fresh key for RUBATO_ENCRYPTION_KEYS; put it first, and keep the old ones until secrets are rotated."""
    from rubato.wiring.secrets import encryption_key

    print(encryption_key())


@admin.command("rotate-secrets")
def admin_rotate_secrets() -> None:
    """Seal every job's secrets under the first of RUBATO_ENCRYPTION_KEYS; safe while everything runs."""
    from rubato import errands

    settings = _settings()
    with _failures():
        done = asyncio.run(errands.rotate_all_secrets(settings))
        print(f"{done.seen} versions hold secrets; {done.renewed} were sealed anew, {done.lost} could not be opened.")
        if done.lost:
            raise SecretLostError


@config.command("check")
def config_check() -> None:
    """Print every setting with its source, secrets redacted."""
    print(render_values(_loaded()))


@config.command("table")
def config_table() -> None:
    """Print the table of settings, as docs/configuration.md has it."""
    print(render_table(), end="")


def main() -> None:
    """Run the command line."""
    with _failures():
        app()


class _failures:  # noqa: N801 - reads as a statement
    """Turn what went wrong into one line and an exit code."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> Literal[False]:
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, RubatoError):
            _give_up(error)
        return False


def _settings(*, json_by_default: bool = True) -> Settings:
    settings = _loaded().settings
    production = settings.environment != "development" and json_by_default
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and production)
    configure_logs(json=as_json, level=settings.log_level, secrets=settings.secrets())
    return settings


def _loaded() -> Loaded:
    with _failures():
        return load()
    raise AssertionError  # the block above returned or ended the process


def _give_up(error: RubatoError) -> NoReturn:
    report_failure(str(error))
    raise SystemExit(2 if isinstance(error, ConfigurationError) else 1) from None


def _allowances(entries: list[str]) -> dict[str, int | None]:
    values: dict[str, int | None] = {}
    for entry in entries:
        name, _, number = entry.partition("=")
        if number != "none" and not (number.isascii() and number.isdigit() and len(number) <= 15):
            raise ConfigurationError(f"{entry} does not look like tokens_per_day=500000.")
        values[name] = None if number == "none" else int(number)
    return values


def _answer(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run it and return what it returns."""
    return asyncio.run(work())


def _run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work())
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work())
