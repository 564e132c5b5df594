"""Answers on a terminal and off it: tables for people, JSON and YAML for programs.

Off a terminal there is no colour, no frame and no bar, and nothing is cut to a width. Text that came from elsewhere
(names, reasons of a model, excerpts of responses) loses its control characters before it is shown: it must not steer
the terminal.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rubato.client.models import Answer

_WIDE = 100_000  # columns: off a terminal lines are as long as they are
_OBEYED = re.compile(r"[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Format, typer.Option("--output", "-o", help="How the answer is written.")]
Column = tuple[str, Callable[[Any], Any]]


def show(answer: Answer, output: Format, rows: Callable[[Any], Mapping[str, Any]]) -> None:
    """Write one thing: `rows` gives what a table says of it."""
    if output is not Format.TABLE:
        render(answer.wire(), output)
        return
    table = _table(("", ""), headers=False)
    for name, value in rows(answer).items():
        if value not in (None, "", {}, []):
            table.add_row(Text(name, style="dim"), _cell(value))
    _console().print(table)


def show_list(answers: Sequence[Answer], output: Format, columns: Sequence[Column]) -> None:
    """Write several things, a row each."""
    if output is not Format.TABLE:
        render([answer.wire() for answer in answers], output)
        return
    table = _table([name for name, _ in columns])
    for answer in answers:
        table.add_row(*(_cell(read(answer)) for _, read in columns))
    _console().print(table)


def render(value: Any, output: Format) -> None:
    """Write a value as JSON or YAML."""
    if output is Format.JSON:
        write(_escaped(json.dumps(value, indent=2, ensure_ascii=False)))
    else:
        write(as_yaml(value), end="")


def coloured(text: str, colour: str) -> str:
    """Return text in a colour, on a terminal that has any."""
    console = _console()
    with console.capture() as written:
        console.print(Text(clean(text), style=colour), end="")
    return written.get()


def write(text: str, *, end: str = "\n") -> None:
    """Write a line of the answer."""
    print(text, end=end, flush=True)


def say(text: str) -> None:
    """Write a sentence about what was done, beside the answer: to standard error."""
    print(clean(text), file=sys.stderr)


def when(at: datetime | None) -> str:
    """Write an instant in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at is not None else ""


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: control characters become a visible mark."""
    return _CONTROL.sub("\ufffd", text)


def status(text: str) -> Any:
    """Return a context that shows a turning mark on a terminal, and nothing off it."""
    return Console(stderr=True, force_terminal=sys.stderr.isatty()).status(text)


def as_yaml(value: Any) -> str:
    """Write YAML that keeps the order of fields."""
    return _escaped(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


class _Dumper(yaml.SafeDumper):
    """Quotes text with characters that a terminal would obey, so that they can be escaped."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _OBEYED.search(text) else None)


_Dumper.add_representer(str, _quoted)


def _console() -> Console:
    is_terminal = sys.stdout.isatty()
    width = None if is_terminal else _WIDE
    return Console(force_terminal=is_terminal, no_color=not is_terminal or None, width=width, highlight=False)


def _table(names: Iterable[str], *, headers: bool = True) -> Table:
    frame = SIMPLE_HEAD if sys.stdout.isatty() and headers else None
    table = Table(box=frame, show_header=headers, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _cell(value: Any) -> Text:
    if isinstance(value, datetime):
        return Text(when(value))
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, Mapping):
        return Text(clean(", ".join(f"{name}={each}" for name, each in value.items())))
    if isinstance(value, list):
        return Text(clean(", ".join(str(each) for each in value)))
    return Text("" if value is None else clean(str(value)))


def _escaped(text: str) -> str:
    """Escape what JSON and YAML may hold and a terminal would obey; they escape the rest themselves."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
