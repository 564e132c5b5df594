"""Every line that a process writes is JSON where lines are JSON, whoever wrote it; a process shows it."""

import json
import subprocess
import sys

from tests.processes import ROOT, clean_environment

NOISY = """
import asyncio, gc, logging, threading, warnings
import structlog
from rubato.adapters.logs import configure_logs, report_failure

configure_logs(json=JSON)
structlog.get_logger("rubato").info("ours", count=1, words=["a", "b"])
logging.getLogger("sqlalchemy.engine").error("from a library: %s", "a\\nb")
logging.getLogger("uvicorn.error").error("from the HTTP server")
warnings.warn("careful", stacklevel=1)

class Sour:
    def __del__(self):
        raise ValueError("in a destructor")

Sour()
gc.collect()

def die():
    raise ValueError("in a thread")

thread = threading.Thread(target=die)
thread.start()
thread.join()

async def main():
    async def lost():
        raise ValueError("in a forgotten task")
    task = asyncio.get_running_loop().create_task(lost())
    await asyncio.sleep(0)
    del task
    gc.collect()

asyncio.run(main())
report_failure("the last word")
raise ValueError("uncaught")
"""
SAID = (
    "ours",
    "from a library: a\nb",
    "from the HTTP server",
    "careful",
    "in a destructor",
    "in a thread",
    "in a forgotten task",
    "the last word",
    "uncaught",
)


def noise(*, as_json: bool) -> "subprocess.CompletedProcess[str]":
    """Run the noisy program; return how it ended and what it wrote."""
    return subprocess.run(
        [sys.executable, "-c", NOISY.replace("JSON)", f"{as_json})", 1)],
        capture_output=True,
        text=True,
        env={**clean_environment(), "PYTHONWARNINGS": "default"},
        cwd=ROOT,
        timeout=60,
        check=False,
    )


def test_every_line_is_json_whoever_wrote_it() -> None:
    ended = noise(as_json=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    for words in SAID:
        assert any(words in json.dumps(line, ensure_ascii=False).replace("\\n", "\n") for line in lines), words
    for line in lines:
        assert {"event", "level", "logger", "timestamp"} <= line.keys()
    assert lines[0] == {**lines[0], "event": "ours", "count": 1, "words": ["a", "b"], "level": "info"}


def test_lines_for_people_say_the_same() -> None:
    ended = noise(as_json=False)
    for words in ("ours", "careful", "in a thread", "rubato: the last word"):
        assert words in ended.stderr
