"""A request's secrets: opened just before it is sent, and taken out of whatever comes back."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from core.errors import SecretLostError
from core.ports.dispatcher import HttpRequest, HttpResult

Opener = Callable[[str], str]

REDACTED = "[secret]"
SHORTEST = 4  # characters; anything shorter would be found everywhere


def opened(request: HttpRequest, opener: Opener) -> tuple[HttpRequest, tuple[str, ...]]:
    """Return the request in the clear, and what must not be seen again, longest first. Raises SecretLostError."""
    headers = {name: opener(sealed) for name, sealed in request.sealed_headers.items()}
    body = request.body_json if request.sealed_body is None else json.loads(opener(request.sealed_body))
    hidden = {*_words(headers.values()), *_leaves(body if request.sealed_body else None)}
    hidden |= {json.dumps(value)[1:-1] for value in hidden}
    clear = request._replace(
        headers={**request.headers, **headers}, body_json=body, sealed_headers={}, sealed_body=None
    )
    return clear, tuple(sorted((value for value in hidden if len(value) >= SHORTEST), key=len, reverse=True))


def no_key(sealed: str) -> str:
    """Open nothing: what a dispatcher without keys does."""
    raise SecretLostError


def redacted(result: HttpResult, hidden: tuple[str, ...]) -> HttpResult:
    """Take secrets out of a result: a target may echo them, into excerpts, error messages and prompts."""
    return result._replace(
        body=_without(result.body, hidden),
        error=_without(result.error, hidden),
        content_type=_without(result.content_type, hidden),
        retry_after=_without(result.retry_after, hidden),
    )


def _without(text: str | None, hidden: tuple[str, ...]) -> str | None:
    if text is not None:
        for value in hidden:
            text = text.replace(value, REDACTED)
    return text


def _words(values: Any) -> Iterator[str]:
    """Yield values whole, and what follows a scheme, as in `Bearer TOKEN`."""
    for value in values:
        yield value
        _, space, rest = value.partition(" ")
        if space:
            yield rest.strip()


def _leaves(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for value in document.values():
            yield from _leaves(value)
    elif isinstance(document, list):
        for value in document:
            yield from _leaves(value)
    elif isinstance(document, str):
        yield document
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield str(document)
