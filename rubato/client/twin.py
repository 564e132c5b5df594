"""Render the synchronous client from the asynchronous one, so that they cannot drift: `python -m rubato.client.twin`.

A test renders it again and compares. docs/adr/0030 says what else was weighed.
"""

import re
import subprocess
import sys
from pathlib import Path

SOURCE, RENDERED = Path(__file__).with_name("aio.py"), Path(__file__).with_name("sync.py")
_DOCSTRING = '"""The synchronous client, rendered from `aio.py` by `python -m rubato.client.twin`; edit there."""'
_WORDS = (
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncClient\b", "Client"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncRetrying\b", "Retrying"),
    (r"\bAsyncBaseTransport\b", "BaseTransport"),
    (r"\baclose\b", "close"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
)


def render() -> str:
    """Return the synchronous client, as the formatter leaves it."""
    _, _, rest = SOURCE.read_text(encoding="utf-8").partition("\n")
    for pattern, replacement in _WORDS:
        rest = re.sub(pattern, replacement, rest)
    ruff, options = [sys.executable, "-m", "ruff"], ["--quiet", "--stdin-filename", str(RENDERED), "-"]
    fixes = ["--select", "I,UP028", "--fix", "--unsafe-fixes"]
    fixed = _piped([*ruff, "check", *fixes, *options], f"{_DOCSTRING}\n{rest}")
    return _piped([*ruff, "format", *options], fixed)


def _piped(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)  # noqa: S603 - our own linter
    return done.stdout


if __name__ == "__main__":
    RENDERED.write_text(render(), encoding="utf-8")
