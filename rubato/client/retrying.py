"""When a request is sent again, and after how long.

A request that never left may always be. One that may have arrived is sent again only if doing it twice is doing it
once: reads, replacements, deletions, and a POST under an Idempotency-Key. What the service asks for in `Retry-After` is
waited, unless it is longer than the caller wants to wait; else the wait grows, with jitter, so that clients that failed
together do not come back together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tenacity import RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from rubato.client.errors import ApiError, ClientError, Unreachable

_BUSY = frozenset({502, 503, 504})
_FIRST_WAIT_S, _LONGEST_OWN_WAIT_S = 0.25, 8.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently. `attempts` counts the first one; 1 sends once."""

    attempts: int = 4
    longest_wait_s: float = 30.0

    def options(self, *, is_repeatable: bool) -> dict[str, Any]:
        """Return what tenacity's Retrying and AsyncRetrying take."""
        return {
            "stop": stop_after_attempt(self.attempts),
            "wait": _wait,
            "retry": retry_if_exception(lambda error: self._is_worth_it(error, is_repeatable=is_repeatable)),
            "reraise": True,
        }

    def _is_worth_it(self, error: BaseException, *, is_repeatable: bool) -> bool:
        if not isinstance(error, ClientError) or (error.retry_after_s or 0) > self.longest_wait_s:
            return False
        if isinstance(error, Unreachable):
            return is_repeatable or not error.was_sent
        if not isinstance(error, ApiError):
            return False
        if error.status == 429 or error.code == "idempotency_key_in_use":
            return True
        return is_repeatable and error.status in _BUSY


_growing = wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_OWN_WAIT_S)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after_s if isinstance(error, ClientError) else None
    return asked if asked is not None else _growing(state)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After`: seconds, or a date, which is taken relative to the answer's own `Date`.

    Without a `Date` a date says nothing that this host's clock could be trusted to measure.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until, said = _instant(value), _instant(headers.get("date", ""))
    return max(0.0, (until - said).total_seconds()) if until is not None and said is not None else None


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
