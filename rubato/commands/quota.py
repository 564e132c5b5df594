"""`rubato quota`: how much the planner may still use."""

from rubato.commands.connection import service
from rubato.commands.output import Column, Format, Output, show, show_list

WINDOWS: tuple[Column, ...] = (
    ("ALLOWANCE", lambda window: window.name),
    ("USED", lambda window: window.used),
    ("RESERVED", lambda window: window.reserved),
    ("LIMIT", lambda window: window.limit),
    ("REMAINING", lambda window: window.remaining),
    ("RESETS", lambda window: window.closes_at),
)


def quota(output: Output = Format.TABLE) -> None:
    """Say how much the planner may still use today and this month."""
    with service() as client:
        found = client.get_quota()
        if output is Format.TABLE:
            show_list(found.data, output, WINDOWS)
        else:
            show(found, output, lambda _: {})
