"""Lists: a limit, and an opaque, signed cursor that belongs to the list it came from."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query

from api.problems import Problem
from api.wire import Wire
from core.errors import Issue
from core.ports.store import Page

DEFAULT_LIMIT, LARGEST_LIMIT = 50, 200
_SIGNATURE = 16  # bytes of it: a forgery has to guess 128 bits

Item = TypeVar("Item")
Limit = Annotated[int, Query(ge=1, description="How many at the most; more than 200 acts as 200.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`nextCursor` of the page before.")]


class Listed(Wire, Generic[Item]):
    """A page of a list. `nextCursor` null: this is the last one."""

    data: list[Item]
    next_cursor: str | None


def page_size(limit: int) -> int:
    """Return how many items a page holds."""
    return min(limit, LARGEST_LIMIT)


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads cursors. `key` signs them: a client can neither make one up nor use it on another list."""

    key: bytes

    def read(self, cursor: str | None, *, bound_to: Sequence[Any]) -> tuple[str, ...] | None:
        """Return where to go on. Answers 400 for a cursor that was changed or belongs to another list."""
        if cursor is None:
            return None
        try:
            raw = base64.urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii"))
            signature, position = raw[:_SIGNATURE], raw[_SIGNATURE:]
            if hmac.compare_digest(signature, self._sign(position, bound_to)):
                return tuple(json.loads(position))
        except (ValueError, TypeError):
            pass
        detail = "cursor does not belong to this list; take nextCursor of its page before, with the same filters."
        raise Problem(400, "invalid_input", detail, issues=[Issue("?cursor", "invalid_cursor", detail)])

    def page(self, page: Page[Item], render: Callable[[Item], Any], *, bound_to: Sequence[Any]) -> dict[str, Any]:
        """Return a list's body."""
        cursor = None
        if page.next_cursor is not None:
            position = json.dumps(page.next_cursor, separators=(",", ":")).encode()
            cursor = base64.urlsafe_b64encode(self._sign(position, bound_to) + position).decode().rstrip("=")
        return {"data": [render(item) for item in page.items], "nextCursor": cursor}

    def _sign(self, position: bytes, bound_to: Sequence[Any]) -> bytes:
        bound = hashlib.sha256(repr(tuple(bound_to)).encode()).digest()
        return hmac.new(self.key, bound + position, hashlib.sha256).digest()[:_SIGNATURE]
