"""The curl sessions of docs/api.md, run as they stand, in one shell, against the API over PostgreSQL."""

import os
import re
import subprocess
from itertools import pairwise

from tests.integration.served import KEY, served
from tests.processes import ROOT, clean_environment

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Return commands with what they are said to answer; empty: nothing is said."""
    blocks = BLOCK.findall((ROOT / "docs" / "api.md").read_text())
    following = [*pairwise(blocks), (blocks[-1], ("", ""))]
    return [
        (words, then if kind == "text" else "") for (language, words), (kind, then) in following if language == "sh"
    ]


def pattern(expected: str) -> re.Pattern[str]:
    """Return what an answer must match: lines in their order, `...` for any lines, `…` for anything in a line."""
    lines = [
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace("…", ".*?") + "\n" for line in expected.splitlines()
    ]
    return re.compile("".join(lines) + r"(?:.*\n?)*")


def test_the_documented_sessions_answer_as_documented(database_url: str) -> None:
    told = sessions()
    assert len(told) >= 9
    mark = "----- next session"
    script = "".join(f"{commands}\necho; echo '{mark}'\n" for commands, _ in told)
    with served(database_url) as api:
        environment = {**clean_environment(), "RUBATO_URL": api.url, "RUBATO_API_KEY": KEY, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    answers = done.stdout.replace("\r", "").split(f"{mark}\n")
    for (commands, expected), answer in zip(told, answers, strict=False):
        # Answers without a newline at their end run into the next status line.
        separated = re.sub(r"(?<!\n)(HTTP/1\.1 \d{3})", r"\n\1", answer).lstrip("\n")
        assert pattern(expected).fullmatch(separated), f"{commands}\n{separated}\n--- documented:\n{expected}"
