"""A child process that ends with its parent, however the parent ends (Linux; elsewhere it may outlive a kill -9)."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from core.errors import Unavailable
from rubato.adapters.postgres.server_account import ServerAccount
from rubato.adapters.postgres.server_launch import Launch

LAUNCH = Path(__file__).with_name("server_launch.py")

# Nothing of ours is inherited: neither PG* variables, which change what PostgreSQL does, nor keys and secrets.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, where, as whom. `log` takes both output streams; `keep` are descriptors it inherits."""

    argv: tuple[str, ...]
    cwd: Path
    account: ServerAccount
    log: int
    keep: tuple[int, ...] = ()
    death_signal: signal.Signals = signal.SIGTERM

    def spawn(self, stdin: int) -> "subprocess.Popen[bytes]":
        """Start it, in a session of its own, so that a terminal's Ctrl-C reaches only us."""
        launch: Launch = {
            "argv": list(self.argv),
            "env": ENVIRONMENT,
            "cwd": str(self.cwd),
            "uid": self.account.uid if self.account.differs else None,
            "gid": self.account.gid if self.account.differs else None,
            "parent_pid": os.getpid(),
            "death_signal": int(self.death_signal),
        }
        return subprocess.Popen(  # noqa: S603  (our own program and arguments, no shell)
            [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(launch)],
            stdin=stdin,
            stdout=self.log,
            stderr=self.log,
            pass_fds=self.keep,
            start_new_session=True,
        )

    def run(self, text: str = "", *, timeout_s: float) -> int:
        """Run to the end with `text` as its input and return the exit status. Unavailable: killed after the timeout."""
        with self.spawn(subprocess.PIPE) as process:
            try:
                process.communicate(text.encode(), timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise Unavailable(f"{Path(self.argv[0]).name} did not end within {timeout_s:.0f} s.") from error
            except BaseException:
                process.kill()
                raise
            return process.returncode


class ServerProcess:
    """A running `Program` and the thread that keeps it.

    The kernel's parent-death signal fires when the *thread* that forked the child ends. A thread of our own forks
    it and then waits for it, so `start` may be called from any thread, a short-lived pool thread included.
    """

    def __init__(self, program: Program) -> None:
        self.exited = threading.Event()
        self._program = program
        self._spawned = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None

    def start(self) -> None:
        """Spawn the program. OSError where that fails."""
        threading.Thread(target=self._keep, name="embedded-postgres", daemon=True).start()
        self._spawned.wait()
        if self._error is not None:
            raise self._error

    def _keep(self) -> None:
        try:
            self._process = self._program.spawn(subprocess.DEVNULL)
        except OSError as error:
            self._error = error
            self.exited.set()
            return
        finally:
            self._spawned.set()
        self._process.wait()
        self.exited.set()

    @property
    def pid(self) -> int | None:
        """The process id, None before the start."""
        return None if self._process is None else self._process.pid

    def end(self, number: signal.Signals, *, timeout_s: float) -> bool:
        """Send a signal and wait. True when the process has ended, False when it still lives after the wait."""
        if self._process is not None and not self.exited.is_set():
            self._process.send_signal(number)
        return self.exited.wait(timeout_s)
