"""What a target answered, made fit to be shown to a model: addresses and secrets taken out, nothing invisible left in.

A pattern cannot know every secret. The rule errs towards taking out: a model judges a tempo, it needs no token to do
so.
"""

import re
import unicodedata

GONE = "[redacted]"
_SENSITIVE = (
    r"[\w.-]{0,40}(?:pass(?:word|wd|phrase)?|secret|token|(?:api|access|private)[_-]?key|authorization|cookie"
    r"|credential|signature|session[_-]?id|bearer)[\w.-]{0,40}"
)
_VALUE = r"\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|(?:(?:bearer|basic)\s+)?[^\s,;&}\]\"']+"
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]{1,40}-----.*?(?:-----END [A-Z ]{1,40}-----|\Z)", re.DOTALL),
    re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>\\]{1,2000}", re.IGNORECASE),
    re.compile(r"\beyJ[\w-]{8,400}\.[\w-]{4,4000}(?:\.[\w-]{0,4000})?"),
    re.compile(r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|xox[abprs]|cron|whsec|glpat|AKIA|ASIA|AIza)[-_]?[\w-]{12,200}"),
    re.compile(r"\b(?:bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    re.compile(r"(?<![\w-])(?=[\w-]{0,63}\d)(?=[\w-]{0,63}[a-zA-Z])[A-Za-z0-9_-]{40,}"),
)
_COUNT = re.compile(r"-?\d{1,9}(?:\.\d{1,6})?|true|false|null")
_PAIR = re.compile(rf"([\"']?)\b({_SENSITIVE})\1(\s{{0,4}}[:=]\s{{0,4}})({_VALUE})", re.IGNORECASE)


def redact(text: str) -> str:
    """Return a text without addresses, credentials and mail addresses, and without characters nobody sees."""
    text = visible(text)
    text = _PAIR.sub(_without_value, text)
    for pattern in _PATTERNS:
        text = pattern.sub(GONE, text)
    return text


def visible(text: str) -> str:
    """Return a text with blanks for line ends and tabs, and without control, format, private and unassigned
    characters."""
    if text.isascii() and text.isprintable():
        return text
    kept = (" " if char in "\r\n\t\u2028\u2029" else char for char in text)
    return "".join(char for char in kept if unicodedata.category(char)[0] != "C")


def cut(text: str, size: int) -> str:
    """Return the beginning of a text, at most `size` bytes of UTF-8: no tokenizer makes more tokens than bytes."""
    encoded = text.encode("utf-8", "replace")
    return text if len(encoded) <= size else encoded[:size].decode("utf-8", "ignore")


def _without_value(found: re.Match[str]) -> str:
    """Take out a secret's value; a short number is a count (`tokens_used`), no secret."""
    quote, name, between, value = found.groups()
    if _COUNT.fullmatch(value):
        return found[0]
    return f'{quote}{name}{quote}{between}"{GONE}"' if value[:1] == '"' else f"{quote}{name}{quote}{between}{GONE}"
