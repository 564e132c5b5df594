"""What must never stand in a log line: secrets by their names, by their shapes, and the ones this process was given."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

HIDDEN = "[redacted]"
SHORTEST_KNOWN = 6  # characters; a shorter secret would hide ordinary words

_NAMES = re.compile(
    r"(?i)(?:^|[-_.])(?:authorization|cookie|set-cookie|password|passwd|secret|pepper|dsn|database_url|"
    r"api[-_]?key|private[-_]?key|access[-_]?token|refresh[-_]?token|client[-_]?secret)$"
)
_SHAPES = (
    re.compile(r"\bcron_[A-Za-z0-9_-]{16,}"),  # our keys
    re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]{16,}"),  # secrets of outgoing signatures
    re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"),  # keys of model servers
    re.compile(r"\bgh[oprsu]_[A-Za-z0-9]{20,}"),  # tokens of the sign-in provider
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),  # signed tokens
    re.compile(r"(?i)(?<=\bbearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=\bbasic )[A-Za-z0-9+/=]{8,}"),
    re.compile(r"(?<=://)[^/\s:@\"']*:[^/\s@\"']+(?=@)"),  # user and password of an address
)


class Redactor:
    """Takes secrets out of text and of structured fields."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets`: values that this process knows; of an address, its password too."""
        known = {form for secret in secrets for form in _forms(secret)}
        self._known = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True)))) if known else None

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for shape in _SHAPES:
            text = shape.sub(HIDDEN, text)
        return text

    def fields(self, value: Any) -> Any:
        """Return a structure in which fields that are named like secrets are hidden."""
        if isinstance(value, Mapping):
            return {
                name: HIDDEN if isinstance(name, str) and _NAMES.search(name) and each else self.fields(each)
                for name, each in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
            return [self.fields(each) for each in value]
        return value


def _forms(secret: str) -> Iterable[str]:
    """Return a secret as it may be written: plain, within JSON, and what an address holds of it."""
    parts = [secret]
    if "://" in secret:
        try:
            password = urlsplit(secret).password or ""
        except ValueError:
            password = ""
        parts = [secret, password, unquote(password)]
    for part in parts:
        if len(part) >= SHORTEST_KNOWN:
            yield part
            yield json.dumps(part)[1:-1]
