"""How values travel: camelCase out, camelCase or snake_case in, strict types, instants in UTC, durations in ms."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

MS = timedelta(milliseconds=1)
DEEPEST = 100  # levels of nesting in opaque JSON
LARGEST_NUMBER = 2**63
_LOOKS_LIKE_AN_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d", re.ASCII)
LONGEST_MS = 316_224_000_000  # ten years; beyond it arithmetic on instants leaves the calendar


class Wire(BaseModel):
    """The base of every body. Unknown fields are refused; so is one field in both spellings."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            _check_text(data)
            for name, field in cls.model_fields.items():
                if field.alias and field.alias != name and field.alias in data and name in data:
                    raise ValueError(f"{field.alias} is given twice, also as {name}; give it once")
        return data


def _check_text(value: Any, depth: int = 0) -> None:
    """Refuse what the database cannot hold: NUL characters, halves of surrogate pairs, endless numbers and nesting."""
    if depth > DEEPEST:
        raise ValueError(f"JSON may be nested {DEEPEST} levels deep at the most")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError("text must not contain NUL characters or unpaired surrogates")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _check_text(name, depth + 1)
            _check_text(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check_text(each, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    elif isinstance(value, int) and not -LARGEST_NUMBER <= value < LARGEST_NUMBER:
        raise ValueError("whole numbers must fit into 64 bits")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs an offset, such as 2026-01-31T12:00:00Z")
    if not 1970 <= value.year <= 2200:
        raise ValueError("must lie between the years 1970 and 2200")
    return value.astimezone(UTC)


def _text(value: Any) -> Any:
    """Refuse what pydantic would read beyond RFC 3339, such as "0", the seconds of an epoch."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and _LOOKS_LIKE_AN_INSTANT.match(value)):
        raise ValueError("must be an RFC 3339 instant, such as 2026-01-31T12:00:00Z")
    return value


def rfc3339(at: datetime) -> str:
    """Write an instant in UTC with `Z`, to the microsecond where it has any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    BeforeValidator(_text),
    AfterValidator(_aware),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Milliseconds = Annotated[int, Field(strict=True, ge=1, le=LONGEST_MS)]


def ms(value: timedelta | None) -> int | None:
    """Return a duration in whole milliseconds."""
    return None if value is None else value // MS


def span(value: int | None) -> timedelta | None:
    """Return milliseconds as a duration."""
    return None if value is None else value * MS
