"""Lists: a limit, and an opaque cursor that belongs to the list it came from."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query

from api.problems import Problem
from core.errors import Issue
from core.ports.store import Page

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, description="How many at the most; more than 200 acts as 200.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`nextCursor` of the page before.")]


def page_size(limit: int) -> int:
    """Return how many items a page holds."""
    return min(limit, LARGEST_LIMIT)


def read_cursor(cursor: str | None, *, bound_to: Sequence[Any]) -> tuple[str, ...] | None:
    """Return where to go on. Answers 400 for a cursor that is damaged or belongs to another list."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        mark, *position = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        good = (
            mark == _mark(bound_to)
            and position
            and all(isinstance(part, str) and part.isascii() and part.isprintable() for part in position)
        )
    except (ValueError, TypeError):
        good, position = False, []
    if not good:
        detail = "cursor does not belong to this list; take nextCursor of its page before, with the same filters."
        raise Problem(400, "invalid_input", detail, issues=[Issue("?cursor", "invalid_cursor", detail)])
    return tuple(position)


def render_page(page: Page[Item], render: Callable[[Item], Any], *, bound_to: Sequence[Any]) -> dict[str, Any]:
    """Return a list's body."""
    cursor = None
    if page.next_cursor is not None:
        raw = json.dumps([_mark(bound_to), *page.next_cursor], separators=(",", ":")).encode()
        cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {"data": [render(item) for item in page.items], "nextCursor": cursor}


def _is_plain(part: Any) -> bool:
    return isinstance(part, str) and part.isascii() and part.isprintable()


def _mark(bound_to: Sequence[Any]) -> str:
    return hashlib.sha256(repr(tuple(bound_to)).encode()).hexdigest()[:12]
