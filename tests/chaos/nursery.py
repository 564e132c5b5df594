"""Starts workers fast, and signals them safely: a process that has imported everything and forks.

`rubato worker` takes seconds to import what it needs, which three hundred restarts cannot wait for. Each child is a
process of its own that runs the command line as it is. Children are signalled here, by the one who reaps them, so that
a number that has passed to another process is never hit.

It reads commands, a JSON line each, and answers with JSON lines:

    {"start": 7, "env": {...}, "log": "...", "path": "...", "args": [...]}   ->  {"started": 7, "pid": 4711}
    {"signal": 7, "number": 9}                                               ->  {"signalled": 7, "at": ns}
    (a child ended)                                                          ->  {"ended": 7, "status": -9}

`path` is put first on the child's search path: a made-up version lies there, so that the worker's User-Agent names its
launch. At the end of its input every child is ended.
"""

import json
import os
import select
import signal
import sys
import time
from typing import Any

LOOK_S = 0.02
LAST_WORDS_S = 30.0


class Nursery:
    """The children, by launch."""

    def __init__(self) -> None:
        self._pids: dict[int, int] = {}

    def take(self, command: dict[str, Any]) -> None:
        """Carry out one command."""
        if "start" in command:
            launch = int(command["start"])
            pid = os.fork()
            if pid == 0:
                _become_worker(command)
            self._pids[launch] = pid
            _say({"started": launch, "pid": pid})
        else:
            launch = int(command["signal"])
            found = self._pids.get(launch)
            if found is not None:
                os.kill(found, int(command["number"]))
            _say({"signalled": launch, "at": time.time_ns() if found is not None else None})

    def reap(self) -> None:
        """Report who has ended."""
        for launch, pid in list(self._pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                del self._pids[launch]
                _say({"ended": launch, "status": os.waitstatus_to_exitcode(status)})

    def end(self) -> None:
        """End every child, by force if it does not heed."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + LAST_WORDS_S
        while self._pids and time.monotonic() < deadline:
            self.reap()
            time.sleep(LOOK_S)
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _become_worker(command: dict[str, Any]) -> None:
    """Run `rubato` in this child, and leave with its exit code."""
    status = 70
    try:
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(command["env"])
        sys.path.insert(0, command["path"])
        sys.argv = ["rubato", *command["args"]]
        from rubato.cli import main

        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a forked child must never return into its parent's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _say(answer: dict[str, object]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Serve commands until the input ends."""
    import rubato.wiring.worker  # noqa: F401 - what every child would import

    nursery, buffer = Nursery(), b""
    _say({"ready": True})
    try:
        while True:
            ready, _, _ = select.select([0], [], [], LOOK_S)
            nursery.reap()
            if not ready:
                continue
            chunk = os.read(0, 65536)
            if not chunk:
                break
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                nursery.take(json.loads(line))
    finally:
        nursery.end()


if __name__ == "__main__":
    main()
