"""Forms read through the API's own bodies: one set of rules, one set of words for what is wrong."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from api.problems import invalid
from api.wire import Wire

Body = TypeVar("Body", bound=Wire)
DAY_MS, DAY_S = 86_400_000, 86_400


def read(body: type[Body], values: Mapping[str, Any]) -> Body:
    """Return a body of the API, out of what a form held; None: it was left empty. Raises as the API does."""
    try:
        return body.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        issues = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
        raise RequestValidationError(issues) from error


def text(fields: Mapping[str, str], name: str) -> str | None:
    """Return a field without the blanks around it; None when it was left empty."""
    return fields.get(name, "").strip() or None


def number(fields: Mapping[str, str], name: str, label: str) -> int | None:
    """Return a whole number; None when it was left empty. Answers 400 for anything else."""
    given = text(fields, name)
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > 12:
        raise invalid(f"/{name}", "not_a_number", f"{label} must be a whole number, such as 30.")
    return int(given)


def ticked(fields: Mapping[str, str], prefix: str) -> list[str]:
    """Return the names, less their prefix, of the boxes that were ticked."""
    return [name.removeprefix(prefix) for name in fields if name.startswith(prefix)]
