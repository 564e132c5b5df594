"""`rubato apply`, `rubato export jobs` and `rubato schema`: jobs kept in files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from core.errors import InvalidInput, Issue
from rubato.client import Client, ClientError
from rubato.commands.connection import DIFFERENT, FAILED, failures, job_id, service
from rubato.commands.definitions import read_documents
from rubato.commands.output import Format, Output, as_yaml, coloured, render, say, write
from rubato.commands.values import pairs
from rubato.gitops import OWNER_LABEL, Change, JobsFile, Plan, carry_out, exported, gather, plan

_MARKS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red"), "same": ("=", "dim")}
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def apply(
    file: Annotated[list[str], typer.Option("--file", "-f", help="A file, a folder, or - for standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="With --dry-run: exit with 3 when something would change.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the owner's jobs that stand in no file any more.")
    ] = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over jobs that are another's or nobody's.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Make the service have the jobs of these files. Applying twice changes nothing the second time."""
    if exit_code and not dry_run:
        raise typer.BadParameter("--exit-code goes with --dry-run.")
    with failures(), _named_files():
        wanted = gather(read_documents(file))
    with service() as client:
        made = plan(client, wanted, prune=prune, adopt=adopt)
        _refuse(made)
        if output is not Format.TABLE:
            render([change.wire() for change in made.differences], output)
        if dry_run:
            _show(made, output)
            raise SystemExit(DIFFERENT if exit_code and made.differences else 0)
        _carry_out(client, made, output)


def export(
    job: Annotated[list[str] | None, typer.Argument(metavar="[JOB]...", help="Only these jobs.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's jobs; they are written as theirs.")] = None,
    group: Annotated[str | None, typer.Option(help="Only this group's jobs.")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only jobs with it.")] = None,
    write_owner: Annotated[
        str | None, typer.Option("--as", metavar="OWNER", help="Write them as this owner's.")
    ] = None,
) -> None:
    """Write jobs as a file that `rubato apply` takes, to standard output."""
    labels = {**pairs(label or []), **({OWNER_LABEL: owner} if owner else {})}
    with service() as client:
        if job:
            found = [client.get_job(job_id(client, each)) for each in job]
        else:
            found = list(client.list_jobs(group=group, labels=labels))
        keyed = [each for each in found if each.key is not None]
        owners = sorted({each.labels.get(OWNER_LABEL, "") for each in keyed} - {""})
        whose = write_owner or owner or (owners[0] if len(owners) == 1 else None)
        if whose is None:
            reason = f"These jobs have {len(owners)} owners" if owners else "These jobs have no owner"
            raise InvalidInput([Issue("", "no_owner", f"{reason}; say whose they are to be: --as OWNER.")])
        if len(keyed) < len(found):
            say(f"{len(found) - len(keyed)} without a key were left out; `rubato jobs edit JOB --key KEY` gives one.")
        write(as_yaml({"owner": whose, "jobs": list(exported(reversed(keyed)))}), end="")


def schema() -> None:
    """Print the JSON schema of the files, for editors (docs/jobs.schema.json)."""
    write(schema_text(), end="")


def schema_text() -> str:
    """Return docs/jobs.schema.json."""
    return json.dumps({"$schema": _SCHEMA, **JobsFile.model_json_schema(by_alias=True)}, indent=2) + "\n"


@contextmanager
def _named_files() -> Iterator[None]:
    """Turn what pydantic says of a file into our words: which job, which field, what is wrong."""
    try:
        yield
    except ValidationError as error:
        issues = [
            Issue("", "invalid_file", f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}")
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidInput(issues) from None


def _refuse(made: Plan) -> None:
    """End the command when something is refused: nothing has been changed yet."""
    if not made.refused:
        return
    for each in made.refused:
        say(f"rubato: {each.key}: {each.reason}")
        for field in each.error.errors if each.error is not None else ():
            if field.detail != each.reason:
                say(f"  {field.where}: {field.detail}")
    say("  Next: correct these and apply again; nothing was changed.")
    raise SystemExit(FAILED)


def _carry_out(client: Client, made: Plan, output: Format) -> None:
    done = 0
    try:
        for change in carry_out(client, made.changes):
            done += change.kind != "same"
            if output is Format.TABLE:
                _show_change(change)
    except ClientError:
        say(f"{done} of {len(made.differences)} changes were made before this; apply again when it is settled.")
        raise
    say(_summary(made, "were"))


def _show(made: Plan, output: Format) -> None:
    if output is Format.TABLE:
        for change in made.changes:
            _show_change(change)
    say(_summary(made, "would be"))


def _show_change(change: Change) -> None:
    if change.kind == "same":
        return
    mark, colour = _MARKS[change.kind]
    write(coloured(f"{mark} {change.key}", colour))
    for each in change.fields:
        write(f"    {each.field}: {_value(each.old)} -> {_value(each.new)}")


def _summary(made: Plan, verb: str) -> str:
    named = {"create": "created", "update": "changed", "delete": "deleted"}
    told = [f"{made.count(kind)} {verb} {word}" for kind, word in named.items()]  # type: ignore[arg-type]  # its keys
    return f"{', '.join(told)}; {made.count('same')} unchanged."


def _value(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)
