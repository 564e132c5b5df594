"""`rubato doctor`: look an installation over."""

import asyncio
from typing import Annotated

import typer

from core.errors import ConfigurationError
from rubato.adapters.clock import SystemClock
from rubato.adapters.logs import configure_logs
from rubato.commands.connection import FAILED, address
from rubato.commands.output import Format, Output, coloured, render, write
from rubato.settings import load

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "skipped": "dim"}


def doctor(
    output: Output = Format.TABLE,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 for a warning, too.")] = False,
) -> None:
    """Say what is wrong with this installation and what to do; exit with 1 for a fault. Changes nothing."""
    from rubato.doctor import Finding, Level, Patient, examine

    async def look() -> list[Finding]:
        return [finding async for finding in examine(patient)]

    configure_logs(json=False, level="error")
    try:
        settings = load().settings
        found = address(settings)
    except ConfigurationError as error:
        findings = [Finding("settings", Level.FAULT, str(error), "Correct the setting; docs/configuration.md has all.")]
    else:
        patient = Patient(settings, found.url, found.api_key, SystemClock())
        findings = asyncio.run(look())
    if output is Format.TABLE:
        for each in findings:
            write(f"{coloured(f'{each.level:<8}', _COLOURS[each.level])}{each.about}: {each.detail}")
            if each.remedy is not None:
                write(f"        do: {each.remedy}")
    else:
        names = ("about", "level", "detail", "remedy")
        render([{name: getattr(each, name) for name in names} for each in findings], output)
    bad = (Level.FAULT, Level.WARNING) if strict else (Level.FAULT,)
    if any(each.level in bad for each in findings):
        raise SystemExit(FAILED)
