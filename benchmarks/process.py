"""Processes of a benchmark: started, asked for what they cost, and ended."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0


@dataclass
class Process:
    """A running command, its output kept for the failure."""

    popen: "subprocess.Popen[bytes]"
    log: IO[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """Return its id."""
        return self.popen.pid

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        return cpu_s(self.pid)

    def rss_mib(self) -> float:
        """Return its resident memory in MiB."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def output(self) -> str:
        """Return what it has written."""
        self.log.flush()
        return Path(self.log.name).read_text(errors="replace")

    def first_line(self, within_s: float = START_S) -> Any:
        """Wait for its first line of JSON."""
        return self._json(0, within_s)

    def result(self, within_s: float = 120.0) -> Any:
        """Wait for its end and return its last line, JSON."""
        self.popen.wait(within_s)
        return self._json(-1, 1.0)

    def _json(self, at: int, within_s: float) -> Any:
        def look() -> Any:
            lines = [line for line in self.output().splitlines() if line.startswith("{")]
            return json.loads(lines[at]) if lines else None

        return wait_for(look, within_s=within_s, what=self)

    def stop(self) -> None:
        """End it, with force if it does not heed."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(40)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(10)


@contextmanager
def running(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Run this interpreter with these arguments for the length of the block."""
    with tempfile.NamedTemporaryFile(prefix="rubato-bench-", suffix=".log") as log:
        popen = subprocess.Popen(  # noqa: S603 - this interpreter, with arguments of our own
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**_environment(), **(env or {})},
        )
        process = Process(popen, log)
        try:
            yield process
        finally:
            process.stop()


def wait_for(look: Callable[[], Any], *, within_s: float, what: object) -> Any:
    """Look until there is something to return. Raises TimeoutError, with the output of a process that was awaited."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        ended = isinstance(what, Process) and what.popen.poll() is not None
        if time.monotonic() > deadline or (ended and not look()):
            said = what.output()[-2000:] if isinstance(what, Process) else what
            raise TimeoutError(f"waited in vain: {said}")
        time.sleep(0.02)


def cpu_s(*pids: int) -> float:
    """Return the seconds of CPU that processes have used, their ended and living children with them."""
    total = 0.0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            used = process.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
            total += cpu_s(*[child.pid for child in process.children()])
        except psutil.NoSuchProcess:
            continue
    return total


def _environment() -> Mapping[str, str]:
    ours = ("RUBATO_", "OPENAI_", "DATABASE_URL", "PORT", "BATCH_SIZE", "POLL_INTERVAL_MS", "LOCK_TTL_MS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def module(name: str, *arguments: object) -> Sequence[str]:
    """Return the arguments that run a module."""
    return ("-m", name, *map(str, arguments))
