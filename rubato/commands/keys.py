"""`rubato keys`: who may ask, and for what."""

from typing import Annotated, Any

import typer

from rubato.client import ApiKey, KeySpec
from rubato.commands.connection import failures, service
from rubato.commands.output import Column, Format, Output, say, show, show_list
from rubato.commands.values import milliseconds

app = typer.Typer(help="Make, list and end API keys.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id.")]

COLUMNS: tuple[Column, ...] = (
    ("ID", lambda key: key.id),
    ("NAME", lambda key: key.name),
    ("BEGINS", lambda key: key.start),
    ("SCOPES", lambda key: key.scopes),
    ("EXPIRES", lambda key: key.expires_at or "never"),
    ("LAST USED", lambda key: key.last_used_at or "never"),
    ("USES LEFT", lambda key: key.remaining),
)


@app.command()
def create(
    name: Annotated[str | None, typer.Argument(help="What it is for.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; repeatable.")] = None,
    expires_in: Annotated[str | None, typer.Option(metavar="DURATION", help="How long it is valid.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a key. Its value is shown once."""
    given = {"name": name, "scopes": scope, "expires_in_ms": milliseconds(expires_in) if expires_in else None}
    with failures():
        spec = KeySpec.model_validate({field: value for field, value in given.items() if value is not None})
    with service() as client:
        show(client.create_api_key(spec), output, record)
        say("The key is shown this once; keep it where secrets are kept.")


@app.command("list")
def list_(output: Output = Format.TABLE) -> None:
    """List keys, without their values."""
    with service() as client:
        show_list(client.list_api_keys(), output, COLUMNS)


@app.command("show")
def show_(key: Id, output: Output = Format.TABLE) -> None:
    """Show one key, without its value."""
    with service() as client:
        show(client.get_api_key(key), output, record)


@app.command()
def delete(key: Id, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """End a key at once."""
    if not yes:
        typer.confirm(f"End {key}? Whoever uses it is locked out at once.", abort=True)
    with service() as client:
        client.delete_api_key(key)
        say(f"Ended {key}.")


def record(key: ApiKey) -> dict[str, Any]:
    """Return what a table says of one key."""
    return {
        "id": key.id,
        "key": key.key,
        "name": key.name,
        "begins": key.start,
        "scopes": key.scopes,
        "created": key.created_at,
        "expires": key.expires_at or "never",
        "last used": key.last_used_at,
        "uses left": key.remaining,
    }
